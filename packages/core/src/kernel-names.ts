// The weights that a layer multiplies its input with.
import { internals, type Layer, ownerOf } from './internals.ts';

/** By the names that layers give them. */
const KERNELS = ['kernel', 'depthwiseKernel', 'pointwiseKernel', 'recurrentKernel', 'embeddings'];

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
  const owner = ownerOf(layer) as unknown as Record<string, { read?: unknown } | null | undefined>;
  return KERNELS.filter((name) => typeof owner[name]?.read === 'function');
}

/**
 * The kernels that a layer has, or will have once it is built; of a wrapper those of the layer inside.
 * Empty also for a class that is not tfjs's own and not built.
 */
export function expectedKernels(layer: Layer): readonly string[] {
  const { forwardLayer, layer: wrapped } = internals(layer);
  const inner = forwardLayer ?? wrapped;
  if (inner) return expectedKernels(inner);
  const found = kernelNames(layer);
  if (found.length > 0) return found;
  const { className } = ownerOf(layer).constructor as unknown as { className: string };
  return KERNELS_OF[className] ?? [];
}
