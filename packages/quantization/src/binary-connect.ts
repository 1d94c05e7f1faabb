// BinaryConnect: a layer computes with the signs of its weights, and training adds up in the real ones.
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions, OptionError } from '@thimble/base';
import { registerTransform, type Site, type WeightTransform } from '@thimble/core';
import { clipped, type Latent, latentAt, pruned, settle, signsOf } from './latent.ts';
import { binarySample, sampleSeeds } from './sign.ts';
import { straightThrough } from './straight-through.ts';

/** Options of {@link binaryConnect}. */
export interface BinaryConnectOptions {
  /** How a weight becomes -1 or +1 in training. Default 'deterministic', its sign. */
  mode?: 'deterministic' | 'stochastic';
  /**
   * True: what the optimizer does to the stored weight is multiplied by `sqrt((fanIn + fanOut) / 1.5)`, as
   * in the paper's experiments. Default false.
   */
  scaleLearningRate?: boolean;
}

/** The state of a binary weight: its place, its key for random draws, and the scale of its updates. */
export interface BinaryConnectState extends Latent {
  key: string;
  scale: number;
}

/** A transform that makes a weight binary; made by {@link binaryConnect}. */
export type BinaryConnectTransform = WeightTransform<BinaryConnectState>;

const CLASS_NAME = 'ThimbleBinaryConnect';

/**
 * Trains a weight of which the layer sees -1 and +1 only.
 *
 * - deterministic: `w' = +1` where `w >= 0`, else -1
 * - stochastic: `w' = +1` with the probability `clip((w + 1) / 2, 0, 1)`, else -1: one draw per step
 * - backward: `dL/dw = dL/dw'`
 * - update: `w <- clip(w, -1, 1)`; with `scaleLearningRate`, `w <- clip(w + s (w_new - w), -1, 1)`, where
 *   w_new is what the optimizer made of w and `s = 1 / sqrt(1.5 / (fanIn + fanOut))`
 * - test: the paper's rule for each: deterministic the binary weight, stochastic the real one, w
 *
 * Entries that an earlier mask has pruned stay 0 (elsewhere the sign of 0 is +1). Prune first: all magnitudes
 * of a deterministic binary weight are 1, which tells criteria nothing. fanIn and fanOut are the numbers of
 * inputs and outputs times the places of a convolution's kernel. As a stochastic weight is real at test time,
 * it counts as float32 for `summarize` and file writing; a deterministic one takes one bit per entry.
 *
 * TensorFlow.js's own `model.fit` has no place after the optimizer. There the weight is clipped at the
 * beginning of the next step, so that only what the very last step did is not; and `scaleLearningRate`
 * does nothing: use Thimble's `fit` for it.
 *
 * Paper: Courbariaux, Bengio, David, "BinaryConnect: Training Deep Neural Networks with binary weights
 * during propagations", 2015, sections 2.2 to 2.6; scale and test time as in the authors' code.
 *
 * @throws {OptionError} for a mode that is not known.
 * @example
 * parametrize(tfl.layers.dense({ units: 300 }), { kernel: [binaryConnect({ mode: 'stochastic' })] });
 */
export function binaryConnect(options: BinaryConnectOptions = {}): BinaryConnectTransform {
  checkOptions('binaryConnect', options, ['mode', 'scaleLearningRate']);
  const { mode = 'deterministic', scaleLearningRate = false } = options;
  if (mode !== 'deterministic' && mode !== 'stochastic') {
    throw new OptionError(
      `binaryConnect: mode must be deterministic or stochastic, not "${String(mode)}".`,
    );
  }
  const stochastic = mode === 'stochastic';
  const bake = (weight: tf.Tensor, state: BinaryConnectState) =>
    stochastic ? clipped(weight) : signsOf(weight, pruned(weight, state));
  return {
    stochastic,
    getClassName: () => CLASS_NAME,
    getConfig: () => ({ ...options }),
    build(site) {
      const scale = scaleLearningRate ? updateScale(site) : 1;
      return { ...latentAt(site), key: site.key, scale };
    },
    apply(weight, state, context) {
      settle(state, context, clipped);
      if (!stochastic || !context.training) return straightThrough(weight, (w) => bake(w, state));
      const seeds = sampleSeeds(context.random(state.key, [2]).dataSync());
      const zeros = pruned(weight, state);
      return straightThrough(weight, (w) => {
        const sample = binarySample(w, seeds);
        return zeros ? tf.mul(sample, tf.abs(tf.sign(w))) : sample;
      });
    },
    update(before, after, { scale }) {
      return clipped(scale === 1 ? after : tf.add(before, tf.mul(tf.sub(after, before), scale)));
    },
    bake,
    encoding: () =>
      stochastic
        ? { values: { type: 'float', bits: 32 } }
        : { values: { type: 'binary', bits: 1, scale: new Float32Array(0), axis: null } },
  };
}
registerTransform(CLASS_NAME, (config) => binaryConnect(config as BinaryConnectOptions));

/** 1 / sqrt(1.5 / (fanIn + fanOut)) of the weight at a site. */
function updateScale({ shape, axes }: Site): number {
  const places = axes.space.reduce((product, axis) => product * shape[axis]!, 1);
  const depthwise = axes.in === axes.out;
  const inputs = axes.in < 0 || depthwise ? 1 : shape[axes.in]!;
  const outputs = depthwise ? shape[axes.out + 1]! : shape[axes.out]! / axes.gates;
  return Math.sqrt(((inputs + outputs) * places) / 1.5);
}
