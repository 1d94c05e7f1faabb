// The weights that a layer multiplies its input with.
import type { LayerVariable } from '@tensorflow/tfjs-layers';
import { internals, type Layer, ownerOf } from './internals.ts';
import { stackedCells } from './walk.ts';

/** By the names that layers give them. */
export const KERNELS: readonly string[] = [
  'kernel',
  'depthwiseKernel',
  'pointwiseKernel',
  'recurrentKernel',
  'embeddings',
];

/** The kernels of tfjs's own layers, and of the cells of its recurrent ones, before they are built. */
const KERNELS_OF: Readonly<Record<string, readonly string[]>> = {
  Dense: ['kernel'],
  Conv1D: ['kernel'],
  Conv2D: ['kernel'],
  Conv3D: ['kernel'],
  Conv2DTranspose: ['kernel'],
  Conv3DTranspose: ['kernel'],
  DepthwiseConv2D: ['depthwiseKernel'],
  SeparableConv2D: ['depthwiseKernel', 'pointwiseKernel'],
  Embedding: ['embeddings'],
  SimpleRNNCell: ['kernel', 'recurrentKernel'],
  LSTMCell: ['kernel', 'recurrentKernel'],
  GRUCell: ['kernel', 'recurrentKernel'],
  ConvLSTM2DCell: ['kernel', 'recurrentKernel'],
};

/** The kernels of a built layer by name; of a recurrent layer those of its cell. */
export function kernelNames(layer: Layer): string[] {
  return KERNELS.filter((name) => layerWeight(layer, name));
}

/**
 * A weight of a built layer by the name that the layer calls it, of a recurrent layer that of its cell; its
 * `read()` gives what the layer computes with. Undefined where there is none.
 *
 * @example
 * layerWeight(layer, 'kernel').read().print();
 */
export function layerWeight(layer: Layer, name: string): LayerVariable | undefined {
  const owner = ownerOf(layer) as unknown as Record<string, LayerVariable | null | undefined>;
  const weight = owner[name];
  return typeof weight?.read === 'function' ? weight : undefined;
}

/**
 * The kernels that a layer has, or will have once it is built; of a wrapper, a composite layer or stacked cells those
 * of the layers inside.
 * Empty also for a class that is not tfjs's own and not built.
 */
export function expectedKernels(layer: Layer): readonly string[] {
  const { forwardLayer, layer: wrapped, parts = stackedCells(layer) } = internals(layer);
  if (parts) return [...new Set(parts.flatMap(expectedKernels))];
  const inner = forwardLayer ?? wrapped;
  if (inner) return expectedKernels(inner);
  const found = kernelNames(layer);
  if (found.length > 0) return found;
  const { className } = ownerOf(layer).constructor as unknown as { className: string };
  return KERNELS_OF[className] ?? [];
}
