// Finds masked weights by rules, and gives masks to layers that have none.
import type * as tf from '@tensorflow/tfjs-core';
import type { LayersModel, layers } from '@tensorflow/tfjs-layers';
import { NoMatchError, UnsupportedError } from '@thimble/base';
import {
  type ParametrizedWeight,
  parametrize,
  parametrizedWeights,
  walkLayers,
} from '@thimble/core';
import { MASK_CLASS_NAME, type MaskState, mask } from './mask.ts';

/** Which layers: names, patterns, a function, or a list of names and patterns. */
export type Targets =
  | string
  | RegExp
  | readonly (string | RegExp)[]
  | ((layer: layers.Layer) => boolean);

/** A weight with a mask. */
export interface MaskedWeight {
  readonly weight: ParametrizedWeight;
  readonly mask: tf.Variable;
  /** 'layer/kernel'. */
  readonly name: string;
}

/** The weights that a layer multiplies its input with, by the names that layers give them. */
const KERNELS = ['kernel', 'depthwiseKernel', 'pointwiseKernel', 'recurrentKernel', 'embeddings'];

/** The candidates, called `what` in messages, that the rules match, each rule at least one. */
export function matchLayers(
  owner: string,
  candidates: readonly layers.Layer[],
  targets: Targets | undefined,
  what: string = 'Layers with kernels',
): layers.Layer[] {
  const known = () => `${what}: ${candidates.map(({ name }) => name).join(', ') || 'none'}.`;
  if (targets === undefined) return [...candidates];
  if (typeof targets === 'function') {
    const found = candidates.filter((layer) => targets(layer));
    if (found.length > 0) return found;
    throw new NoMatchError(`${owner}: targets match no layer. ${known()}`);
  }
  const rules = typeof targets === 'string' || targets instanceof RegExp ? [targets] : targets;
  const matches = (rule: string | RegExp, { name }: layers.Layer) =>
    typeof rule === 'string' ? rule === name : rule.test(name);
  for (const rule of rules) {
    if (!candidates.some((layer) => matches(rule, layer))) {
      const shown = typeof rule === 'string' ? `"${rule}"` : `${rule}`;
      throw new NoMatchError(`${owner}: the target ${shown} matches no layer. ${known()}`);
    }
  }
  const found = candidates.filter((layer) => rules.some((rule) => matches(rule, layer)));
  if (found.length > 0) return found;
  throw new NoMatchError(`${owner}: targets is an empty list. ${known()}`);
}

/** The kernels of a layer by name; of a recurrent layer those of its cell. */
export function kernelNames(layer: layers.Layer): string[] {
  const owner = ((layer as { cell?: object }).cell ?? layer) as Record<string, unknown>;
  return KERNELS.filter((name) => {
    const weight = owner[name] as { read?: unknown } | null | undefined;
    return typeof weight?.read === 'function';
  });
}

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

/**
 * The kernels that a layer has, or will have once it is built; of a wrapper those of the layer inside.
 * Empty also for a class that is not tfjs's own and not built.
 */
export function expectedKernels(layer: layers.Layer): readonly string[] {
  const inner = layer as unknown as Record<
    'forwardLayer' | 'layer' | 'cell',
    layers.Layer | undefined
  >;
  const wrapped = inner.forwardLayer ?? inner.layer;
  if (wrapped) return expectedKernels(wrapped);
  const found = kernelNames(layer);
  if (found.length > 0) return found;
  const { className } = (inner.cell ?? layer).constructor as unknown as { className: string };
  return KERNELS_OF[className] ?? [];
}

/** The layers of a model that have kernels; wrappers stand for nothing, their inner layers do. */
export function layersWithKernels(model: LayersModel): layers.Layer[] {
  return walkLayers(model).filter((layer) => kernelNames(layer).length > 0);
}

/** The Bidirectional that a layer is one direction of. */
function bidirectionalOf(model: LayersModel, layer: layers.Layer): layers.Layer | undefined {
  return walkLayers(model).find((candidate) => {
    const { forwardLayer, backwardLayer } = candidate as unknown as Record<string, unknown>;
    return forwardLayer === layer || backwardLayer === layer;
  });
}

/** The masked weights of a model, or of those of its layers that the rules match. */
export function maskedWeights(model: LayersModel, targets?: Targets): MaskedWeight[] {
  const found = parametrizedWeights(model).flatMap((weight) => {
    const link = weight.links.find(({ transform }) => transform.getClassName() === MASK_CLASS_NAME);
    const name = `${weight.layer.name}/${weight.weight}`;
    return link ? [{ weight, mask: (link.state as MaskState).mask, name }] : [];
  });
  if (targets === undefined) return found;
  const owners = [...new Set(found.map(({ weight }) => weight.layer))];
  const chosen = new Set(matchLayers('maskedWeights', owners, targets));
  return found.filter(({ weight }) => chosen.has(weight.layer));
}

/**
 * Sees to it that every kernel of the layers that the rules match has a mask, and gives back these masked
 * weights. A mask that is there already stays. Masks are weights of the layers: add them before a
 * checkpoint is read or a model's weights are loaded.
 *
 * @throws {NoMatchError} for a rule that matches no layer with a kernel.
 */
export function ensureMasks(owner: string, model: LayersModel, targets?: Targets): MaskedWeight[] {
  const candidates = layersWithKernels(model);
  if (candidates.length === 0) {
    throw new UnsupportedError(
      `${owner}: the model "${model.name}" has no layer with a kernel, or is not built: ` +
        'give its first layer an inputShape.',
    );
  }
  const chosen = matchLayers(owner, candidates, targets);
  const masked = new Set(maskedWeights(model).map(({ name }) => name));
  for (const layer of chosen) {
    const bare = kernelNames(layer).filter((name) => !masked.has(`${layer.name}/${name}`));
    if (bare.length === 0) continue;
    const chains = Object.fromEntries(bare.map((name) => [name, [mask()]]));
    // A Bidirectional saves what itself was given, not what its two layers were.
    const wrapper = bidirectionalOf(model, layer);
    parametrize(wrapper ?? layer, chains);
    if (wrapper) for (const { name } of maskedWeights(model)) masked.add(name);
  }
  const layers = new Set<unknown>(chosen);
  return maskedWeights(model).filter(({ weight }) => layers.has(weight.layer));
}

/** The layers that give the outputs of a model. */
export function outputLayers(model: LayersModel): Set<layers.Layer> {
  return new Set(model.outputs.map(({ sourceLayer }) => sourceLayer));
}
