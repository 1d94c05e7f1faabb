// Post-training quantisation: a trained model in few bits, without training.
import type { LayersModel, layers } from '@tensorflow/tfjs-layers';
import { NonFiniteError, UnsupportedError } from '@thimble/base';
import {
  copyModel,
  foldBatchNorm,
  kernelLayers,
  kernelNames,
  parametrizedWeights,
  walkLayers,
} from '@thimble/core';
import { adaRound, type RoundedLayer } from './adaround.ts';
import { type BiasCorrection, correctBias } from './bias-correction.ts';
import { calibrateActivations } from './calibrate.ts';
import { type EqualizeReport, equalize, equalizeReport } from './equalize.ts';
import { FIXED_QUANT, type FixedQuantTransform, fixedQuant } from './fixed-quant.ts';
import { float16, LARGEST_HALF } from './float16.ts';
import {
  checkNotQuantized,
  chooseLayers,
  giveTransforms,
  kernelsAndBias,
  shapeOf,
  valuesOf,
} from './kernels.ts';
import { quantizeAware } from './quantize-aware.ts';
import {
  activationsOf,
  checkPerLayer,
  fixedQuantOptions,
  type QuantizeOptions,
  type ResolvedQuantize,
  resolveQuantize,
} from './quantize-options.ts';
import { checkModel } from './targets.ts';

/**
 * A copy of a trained model whose kernels are quantised; the model given stays as it is.
 *
 * - Weights: every kernel is computed with as its codes say, on a grid fixed now ({@link fixedQuant});
 *   `summarize` counts the bits, and the model can be saved, loaded and trained on. Biases stay float32.
 * - Activations: with `calibration` the inputs of these layers, and of sums, products and average pooling, are
 *   rounded over ranges that an observer finds after all else is done ({@link calibrateActivations}); with
 *   `biasCorrection` the biases make up for that rounding as well.
 * - Batch normalisation becomes part of the layer before it first (`foldBatchNorm`). Where there is any, the
 *   transforms that the model has are baked by that: a mask is then zeros among the weights. A network of several
 *   widths (`toSlimmable`) keeps its own, which has statistics for each width.
 *
 * - Then, where it is asked for: equal channels first ({@link equalize}), rounding that is learned
 *   ({@link adaRound}), biases that make up for the rest ({@link correctBias}). {@link quantizeReport} tells what
 *   came of it.
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
 * const both = await quantize(model, { bits: 8, calibration: train, examples: 200 });
 * const half = await quantize(model, { type: 'float' });
 * const better = await quantize(model, {
 *   bits: 4, ranges: 'mse', calibration: train, rounding: { iterations: 50 }, biasCorrection: true,
 * });
 * console.log(quantizeReport(better).rounded);
 */
export async function quantize(
  model: LayersModel,
  options: QuantizeOptions = {},
): Promise<LayersModel> {
  checkModel(OWNER, model);
  const resolved = resolveQuantize(options);
  chooseLayers(OWNER, model, resolved.targets);
  checkPerLayer(model, resolved.perLayer);
  checkNotQuantized(OWNER, model);
  checkFinite(model);
  const original = await prepared(model, resolved);
  const copy = copyModel(original);
  try {
    if (resolved.type === 'float') halve(copy, resolved);
    else quantizeKernels(copy, resolved);
    reports.set(copy, await refine(copy, original, resolved));
    return copy;
  } catch (error) {
    copy.dispose();
    throw error;
  } finally {
    original.dispose();
  }
}

/** What {@link quantize} did besides rounding to nearest; parts are absent that were not asked for. */
export interface QuantizeReport {
  equalized?: EqualizeReport;
  rounded?: RoundedLayer[];
  biases?: BiasCorrection;
  /** How many inputs of layers have a range. */
  activations?: number;
}

/** What was done to a model that {@link quantize} made. */
export function quantizeReport(quantized: LayersModel): QuantizeReport {
  checkModel('quantizeReport', quantized);
  const report = reports.get(quantized);
  if (report) return report;
  throw new UnsupportedError(`quantizeReport: model "${quantized.name}" was not made by quantize.`);
}

const reports = new WeakMap<LayersModel, QuantizeReport>();

const OWNER = 'quantize';

/** A copy to work on. */
async function prepared(
  model: LayersModel,
  { foldBatchNorm: fold, equalize: scale }: ResolvedQuantize,
): Promise<LayersModel> {
  const all = walkLayers(model);
  // Layers that folding would turn into plain ones: of several widths there would be one.
  const special = all.find((layer) => 'plainWeights' in layer);
  if (scale && special) {
    throw new UnsupportedError(
      `${OWNER}: equalize makes a plain model, so that layer "${special.name}" (${special.getClassName()}) would lose ` +
        'its widths. Take one width first (extractWidth), or leave equalize out.',
    );
  }
  if (scale) return equalize(model, scale === true ? {} : scale);
  const normalized = all.some((layer) => 'movingVariance' in layer);
  return fold && normalized && !special ? foldBatchNorm(model) : copyModel(model);
}

/** Makes up for some of what rounding to nearest has cost. */
async function refine(
  model: LayersModel,
  original: LayersModel,
  options: ResolvedQuantize,
): Promise<QuantizeReport> {
  const { rounding = 'nearest', biasCorrection, calibration, examples } = options;
  const { batchSize, progress, signal } = options;
  const reference = { original, calibration: calibration!, examples, batchSize, progress, signal };
  const report: QuantizeReport = {};
  if (options.equalize) report.equalized = equalizeReport(original);
  if (rounding !== 'nearest') {
    const learning = rounding === 'adaptive' ? {} : rounding;
    report.rounded = await adaRound(model, { ...reference, ...learning });
  }
  if (biasCorrection) report.biases = await correctBias(model, reference);
  const activations = activationsOf(options);
  if (activations) {
    const { observer, ...grid } = activations;
    const { progress, signal } = options;
    quantizeAware(model, { weights: false, activations: grid, ignore: keptLayers(model) });
    const pass = { calibration: calibration!, examples, batchSize, progress, signal };
    const made = observer ? { ...pass, observer } : pass;
    report.activations = await calibrateActivations(model, made);
    // What is rounded by then shifts means too, most of all where a background has the same value everywhere.
    if (biasCorrection) report.biases = await correctBias(model, reference);
  }
  return report;
}

/** Layers with kernels of which none is quantised: what they get stays as it is too. */
function keptLayers(model: LayersModel): string[] {
  return kernelLayers(OWNER, model)
    .filter((layer) => parametrizedWeights(layer).every(({ links }) => !links.some(isFixedQuant)))
    .map(({ name }) => name);
}

function isFixedQuant({ transform }: { transform: { getClassName(): string } }): boolean {
  return transform.getClassName() === FIXED_QUANT;
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
