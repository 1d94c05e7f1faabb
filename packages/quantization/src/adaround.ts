// AdaRound: rounding up or down so that the answers of a layer change least, not its weights.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, checkRange, NoMatchError, startProgress } from '@thimble/base';
import {
  fit,
  kernelNames,
  type ParametrizedWeight,
  parametrize,
  parametrizedWeights,
  predictAll,
} from '@thimble/core';
import { adaptiveRounding, type RoundingPull } from './adaptive-rounding.ts';
import {
  FIXED_QUANT,
  type FixedQuantOptions,
  type FixedQuantState,
  gridWith,
} from './fixed-quant.ts';
import {
  checkReference,
  eachAnswer,
  type LayerPair,
  linearPairs,
  REFERENCE_OPTIONS,
  type ReferenceOptions,
} from './layer-pairs.ts';

/** How AdaRound learns. */
export interface AdaRoundLearning {
  /** Steps per layer, at least. Default 1000. */
  iterations?: number;
  /** Examples per step. Default 32. */
  stepSize?: number;
  /** Adam's rate. Default 0.01. */
  learningRate?: number;
  /** Weight of the pull towards rounding fully up or down. Default 0.01. */
  strength?: number;
  /** Share of the steps before that pull sets in. Default 0.2. */
  warmUp?: number;
  /** Order of the examples. Default 0. */
  seed?: number | string;
}

/** Options of {@link adaRound}. */
export interface AdaRoundOptions extends ReferenceOptions, AdaRoundLearning {}

/** What became of a layer: the mean squared error of its answers with its kernels rounded to nearest, and now. */
export interface RoundedLayer {
  layer: string;
  nearest: number;
  adaptive: number;
}

/** The names of the options of learning. */
export const LEARNING: readonly string[] = [
  'iterations',
  'stepSize',
  'learningRate',
  'strength',
  'warmUp',
  'seed',
];

/**
 * Rounds the kernels of a quantised model anew, in place, layer by layer in the order of computation: each
 * weight up or down, so that the layer answers to the quantised model's activations x' as the original does to
 * its own x:
 *
 * - minimise `|W x - W' x'|^2 + strength sum(1 - |2 h(V) - 1|^beta)`,
 *   `W' = s clip(floor(W / s) + h(V))`, by Adam on V; h goes from 0 to 1, beta from 20 to 2
 *
 * The answers are those before bias and activation; scales stay as `quantize` chose them (ranges 'mse' are
 * best). A layer whose error does not get smaller keeps rounding to nearest. Dense layers and convolutions
 * are rounded, recurrent layers and embeddings keep theirs. The activations of one layer for all examples are
 * held in memory at a time.
 *
 * Paper: Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", 2020, equations 21 to 25.
 *
 * @throws {NoMatchError} when no dense layer or convolution is quantised by `quantize`; {UnsupportedError} when
 *   the two models have not the same layers; {OptionError}, {DataError}, {ShapeError}.
 * @example
 * const q = await quantize(model, { bits: 4, ranges: 'mse' });
 * await adaRound(q, { original: model, calibration: train, examples: 200, iterations: 50 });
 */
export async function adaRound(
  model: tfl.LayersModel,
  options: AdaRoundOptions,
): Promise<RoundedLayer[]> {
  checkOptions(OWNER, options, [...REFERENCE_OPTIONS, ...LEARNING]);
  checkReference(OWNER, options);
  checkLearning(OWNER, options);
  const pairs = linearPairs(OWNER, model, options.original).filter(
    ({ quantized }) => quantizedKernels(quantized).length > 0,
  );
  if (pairs.length === 0) {
    throw new NoMatchError(
      `${OWNER}: no dense layer or convolution is quantised. Call quantize with type 'integer' first.`,
    );
  }
  const kernels = pairs.flatMap(({ quantized }) => quantizedKernels(quantized));
  const before = kernels.map(({ variable }) => tf.clone(variable));
  const rounded: RoundedLayer[] = [];
  const progress = startProgress(options.progress ?? true, 'AdaRound', pairs.length);
  try {
    for (const pair of pairs) {
      rounded.push({ layer: pair.name, ...(await roundLayer(model, pair, options)) });
      progress.update(rounded.length);
    }
  } catch (error) {
    kernels.forEach(({ variable }, i) => {
      variable.assign(before[i]!);
    });
    throw error;
  } finally {
    tf.dispose(before);
    progress.stop();
  }
  return rounded;
}

const OWNER = 'adaRound';

/** Throws for impossible settings. */
export function checkLearning(owner: string, options: AdaRoundLearning): void {
  const { iterations = 1, stepSize = 1, learningRate = 0, strength = 0, warmUp = 0 } = options;
  checkInteger(owner, 'iterations', iterations, 1);
  checkInteger(owner, 'stepSize', stepSize, 1);
  checkRange(owner, 'learningRate', learningRate, 0);
  checkRange(owner, 'strength', strength, 0);
  checkRange(owner, 'warmUp', warmUp, 0, 0.99);
}

/** The kernels of a layer that `quantize` has quantised. */
function quantizedKernels(layer: tfl.layers.Layer): ParametrizedWeight[] {
  const names = kernelNames(layer);
  return parametrizedWeights(layer).filter(
    (each) => names.includes(each.weight) && linkOf(each) !== undefined,
  );
}

function linkOf({ links }: ParametrizedWeight) {
  return links.find(({ transform }) => transform.getClassName() === FIXED_QUANT);
}

async function roundLayer(
  model: tfl.LayersModel,
  pair: LayerPair,
  options: AdaRoundOptions,
): Promise<Omit<RoundedLayer, 'layer'>> {
  const { original, quantized } = pair;
  const { iterations = 1000, stepSize = 32, learningRate = 0.01, strength = 0.01 } = options;
  const { warmUp = 0.2, seed = 0, signal } = options;
  const ys = new Rows();
  await eachAnswer(options.original, [original], options, (_, answer) => ys.add(answer));
  const xs = new Rows();
  await eachAnswer(model, [quantized], options, (_, __, input) => xs.add(input));
  const data = { xs: xs.joined(), ys: ys.joined() };
  const epochs = Math.ceil(iterations / Math.ceil(xs.count / stepSize));
  const steps = epochs * Math.ceil(xs.count / stepSize);
  const kernels = quantizedKernels(quantized);
  const alone = layerAlone(original, xs.shape, kernels, { steps, warmUp, strength });
  try {
    const errorNow = async () => {
      const [given] = await predictAll(alone, data, { batchSize: 100, progress: false });
      return meanSquare(given!.values, data.ys);
    };
    const nearest = await errorNow();
    await fit(alone, data, {
      epochs,
      batchSize: stepSize,
      optimizer: 'adam',
      learningRate,
      loss: (labels, answers) =>
        tf.mean(tf.sum(tf.squaredDifference(labels, answers), -1)) as tf.Scalar,
      seed,
      progress: false,
      signal,
    });
    const adaptive = await errorNow();
    if (!(adaptive < nearest)) return { nearest, adaptive: nearest };
    for (const { weight, variable } of kernels) {
      const found = parametrizedWeights(alone).find((each) => each.weight === weight)!;
      tf.tidy(() => variable.assign(found.bake()));
    }
    return { nearest, adaptive };
  } finally {
    alone.dispose();
  }
}

/** A model of one layer without bias and activation, whose kernels learn how they are rounded. */
function layerAlone(
  original: tfl.layers.Layer,
  shape: number[],
  kernels: readonly ParametrizedWeight[],
  pull: RoundingPull,
): tfl.LayersModel {
  const { parametrized, batchInputShape, ...config } = original.getConfig();
  const plain = Object.fromEntries(
    Object.entries(config).filter(([key]) => !/(Regularizer|Constraint)$/.test(key)),
  );
  const layerClass =
    original.constructor as tf.serialization.SerializableConstructor<tfl.layers.Layer> & {
      fromConfig: (typeof tfl.layers.Layer)['fromConfig'];
    };
  const layer = layerClass.fromConfig(layerClass, {
    ...plain,
    activation: 'linear',
    useBias: false,
    batchInputShape: [null, ...shape],
  }) as tfl.layers.Layer;
  const model = tfl.sequential({ layers: [layer] });
  const weights = (of: tfl.layers.Layer) => of as unknown as Record<string, { read(): tf.Tensor }>;
  for (const name of kernelNames(layer)) {
    const seen = weights(original)[name]!;
    tf.tidy(() => (weights(layer)[name]!.read() as tf.Variable).assign(seen.read()));
  }
  for (const kernel of kernels) {
    const { transform, state } = linkOf(kernel)!;
    const { scale, zeroPoint, groups } = state as FixedQuantState;
    const grid = gridWith(scale, zeroPoint, transform.getConfig() as unknown as FixedQuantOptions);
    parametrize(layer, { [kernel.weight]: [adaptiveRounding(grid, groups, pull)] });
  }
  return model;
}

/** Rows of many batches in one array. */
class Rows {
  count = 0;
  /** Shape of one row. */
  shape: number[] = [];
  readonly #parts: Float32Array[] = [];

  add(values: tf.Tensor): void {
    const [count, ...shape] = values.shape;
    this.shape = shape;
    this.count += count!;
    this.#parts.push(Float32Array.from(values.dataSync()));
  }

  joined(): Float32Array {
    const all = new Float32Array(this.#parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }
}

function meanSquare(values: Float32Array, wanted: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += (values[i]! - wanted[i]!) ** 2;
  return sum / values.length;
}
