// The weights of a model that are worth quantising, and which of them rules mean.
import type { LayersModel, layers } from '@tensorflow/tfjs-layers';
import { UnsupportedError } from '@thimble/base';
import {
  bidirectionalOf,
  checkKernelNames,
  kernelLayers,
  kernelNames,
  type LayerTargets,
  layerWeight,
  matchLayers,
  parametrize,
  parametrizedWeights,
  readValues,
  type WeightTransform,
  walkLayers,
} from '@thimble/core';
import { activationPlaces } from './quantized-call.ts';

/** The kernels of a layer by name, and its bias. */
export function kernelsAndBias(layer: layers.Layer): string[] {
  return [...kernelNames(layer), ...(layerWeight(layer, 'bias') ? ['bias'] : [])];
}

/** The shape of a weight of a layer. */
export function shapeOf(layer: layers.Layer, weight: string): number[] {
  return layerWeight(layer, weight)!.shape as number[];
}

/** The values of a weight as the layer computes with it. */
export function valuesOf(layer: layers.Layer, weight: string): Float32Array {
  return readValues(() => layerWeight(layer, weight)!.read());
}

/** The layers with kernels that the rules match, each rule at least one. */
export function chooseLayers(
  owner: string,
  model: LayersModel,
  targets: LayerTargets | undefined,
): layers.Layer[] {
  const candidates = kernelLayers(owner, model);
  if (targets === undefined) {
    checkKernelNames(owner, walkLayers(model), 'name the layers to quantise in targets');
  }
  return matchLayers(owner, candidates, targets);
}

/**
 * Puts a transform on weights of a layer. What is inside a Bidirectional gets it by way of the Bidirectional,
 * which saves what itself was given; both directions then have it.
 */
export function giveTransforms(
  model: LayersModel,
  layer: layers.Layer,
  names: readonly string[],
  transform: WeightTransform,
): void {
  const wrapper = bidirectionalOf(model, layer);
  const done = new Set(parametrizedWeights(layer).flatMap(linkedAs(transform.getClassName())));
  const bare = names.filter((name) => !done.has(name));
  if (bare.length === 0) return;
  parametrize(wrapper ?? layer, Object.fromEntries(bare.map((name) => [name, [transform]])));
}

const linkedAs =
  (className: string) =>
  ({ weight, links }: ReturnType<typeof parametrizedWeights>[number]): string[] =>
    links.some(({ transform }) => transform.getClassName() === className) ? [weight] : [];

/** Throws where a weight is stored in less than full precision already, or activations are quantised. */
export function checkNotQuantized(owner: string, model: LayersModel): void {
  const [place] = activationPlaces(model);
  if (place) {
    throw new UnsupportedError(
      `${owner}: the activations of layer "${place.layer.name}" are quantised already. Quantise the model that ` +
        'it was made from.',
    );
  }
  for (const chain of parametrizedWeights(model)) {
    const { type, bits } = chain.encoding().values;
    if (type === 'float' && bits === 32) continue;
    throw new UnsupportedError(
      `${owner}: "${chain.weight}" of layer "${chain.layer.name}" is quantised already (${type}, ${bits} bits). ` +
        'Quantise the model that it was made from, or finalize it first.',
    );
  }
}
