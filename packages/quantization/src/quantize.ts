// Post-training quantisation: a trained model in few bits, without training.
import type { LayersModel, layers } from '@tensorflow/tfjs-layers';
import { NonFiniteError, UnsupportedError } from '@thimble/base';
import { copyModel, foldBatchNorm, kernelNames, walkLayers } from '@thimble/core';
import { type FixedQuantTransform, fixedQuant } from './fixed-quant.ts';
import { float16, LARGEST_HALF } from './float16.ts';
import {
  checkNotQuantized,
  chooseLayers,
  giveTransforms,
  kernelsAndBias,
  shapeOf,
  valuesOf,
} from './kernels.ts';
import {
  checkPerLayer,
  fixedQuantOptions,
  type QuantizeOptions,
  type ResolvedQuantize,
  resolveQuantize,
} from './quantize-options.ts';

/**
 * A copy of a trained model whose kernels are quantised; the model given stays as it is.
 *
 * - Weights: every kernel is computed with as its codes say, on a grid fixed now ({@link fixedQuant});
 *   `summarize` counts the bits, and the model can be saved, loaded and trained on. Biases stay float32.
 * - Batch normalisation becomes part of the layer before it first (`foldBatchNorm`). Where there is any, the
 *   transforms that the model has are baked by that: a mask is then zeros among the weights.
 *
 * Paper: Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference: A whitepaper",
 * 2018, section 3.
 *
 * @throws {OptionError} for unknown or impossible options; {NoMatchError} for a target or a name in
 *   `perLayer` that matches no layer; {UnsupportedError} for a model that is quantised already, has no kernel,
 *   or has one without channels with granularity 'channel'; {NonFiniteError} for NaN among the weights.
 * @example
 * const q = await quantize(model, { bits: 8, granularity: 'channel' });
 * summarize(q).print();
 * const half = await quantize(model, { type: 'float' });
 */
export async function quantize(
  model: LayersModel,
  options: QuantizeOptions = {},
): Promise<LayersModel> {
  const resolved = resolveQuantize(options);
  chooseLayers(OWNER, model, resolved.targets);
  checkPerLayer(model, resolved.perLayer);
  checkNotQuantized(OWNER, model);
  checkFinite(model);
  const copy = await prepared(model, resolved);
  try {
    if (resolved.type === 'float') halve(copy, resolved);
    else quantizeKernels(copy, resolved);
    return copy;
  } catch (error) {
    copy.dispose();
    throw error;
  }
}

const OWNER = 'quantize';

/** A copy to work on. */
async function prepared(
  model: LayersModel,
  { foldBatchNorm: fold }: ResolvedQuantize,
): Promise<LayersModel> {
  const normalized = walkLayers(model).some((layer) => 'movingVariance' in layer);
  return fold && normalized ? foldBatchNorm(model) : copyModel(model);
}

function checkFinite(model: LayersModel): void {
  for (const layer of walkLayers(model)) {
    for (const name of kernelsAndBias(layer)) {
      const bad = valuesOf(layer, name).find((value) => !Number.isFinite(value));
      if (bad === undefined) continue;
      throw new NonFiniteError(
        `${OWNER}: "${name}" of layer "${layer.name}" has ${bad} in it. Train the model again.`,
      );
    }
  }
}

function halve(model: LayersModel, { targets }: ResolvedQuantize): void {
  for (const layer of chooseLayers(OWNER, model, targets)) {
    const names = kernelsAndBias(layer);
    for (const name of names) {
      const large = valuesOf(layer, name).find((value) => Math.abs(value) > LARGEST_HALF);
      if (large === undefined) continue;
      throw new UnsupportedError(
        `${OWNER}: "${name}" of layer "${layer.name}" has ${large} in it; half precision ends at ` +
          `${LARGEST_HALF}. Leave the layer out of targets.`,
      );
    }
    giveTransforms(model, layer, names, float16());
  }
}

function quantizeKernels(model: LayersModel, options: ResolvedQuantize): void {
  const { targets, perLayer, bits } = options;
  const transforms = new Map<number, FixedQuantTransform>();
  for (const layer of chooseLayers(OWNER, model, targets)) {
    const own = perLayer[layer.name] ?? bits;
    if (own === false) continue;
    const transform = transforms.get(own) ?? fixedQuant(fixedQuantOptions(options, own));
    transforms.set(own, transform);
    const names = kernelNames(layer);
    for (const name of names) checkChannels(layer, name, options);
    giveTransforms(model, layer, names, transform);
  }
}

function checkChannels(layer: layers.Layer, name: string, { granularity }: QuantizeOptions): void {
  if ((granularity ?? 'channel') !== 'channel' || shapeOf(layer, name).length > 1) return;
  throw new UnsupportedError(
    `${OWNER}: "${name}" of layer "${layer.name}" has no channels: its shape is ` +
      `[${shapeOf(layer, name)}]. Use granularity 'tensor', or leave the layer out of targets.`,
  );
}
