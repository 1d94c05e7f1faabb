// L0 regularisation: gates that are open, closed or in between, and a price on those that are not closed.
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions, checkRange, OptionError } from '@thimble/base';
import { registerTransform, type WeightTransform } from '@thimble/core';
import { type Slices, slicesOf } from './slices.ts';

/** Options of {@link l0Gates}. */
export interface L0Options {
  /** Price of one weight whose gate is not closed, at least 0. The paper's 0.1 / N, with N examples. */
  strength: number;
  /**
   * What has a gate: every input unit or channel, every output unit or filter, or every entry. Default:
   * 'out' for convolutions and for weights without inputs, as biases, else 'in'; so does the paper.
   */
  per?: 'in' | 'out' | 'element';
  /** Probability of a gate's Bernoulli relaxation to be 0 at first, from 0.01 to 0.99; default 0.5. */
  dropRate?: number;
  /** Temperature of the concrete distribution, above 0; default 2/3. */
  beta?: number;
  /** Lower end of the stretched distribution, below 0; default -0.1. */
  gamma?: number;
  /** Upper end of the stretched distribution, above 1; default 1.1. */
  zeta?: number;
}

/** The state of the gates at one weight. */
export interface L0State {
  /** log(alpha) of every gate, in a shape to broadcast against `slices.view`. */
  logAlpha: tf.Variable;
  slices: Slices;
  key: string;
}

/** A transform that multiplies a weight by gates that it learns; made by {@link l0Gates}. */
export type L0Transform = WeightTransform<L0State>;

const CLASS_NAME = 'ThimbleL0';
/** Random numbers keep this distance from 0 and 1. */
const EPSILON = 1e-6;
const MIN_LOG_ALPHA = Math.log(0.01);
const MAX_LOG_ALPHA = Math.log(100);

/**
 * Hard-concrete gates: learns which inputs, outputs or entries of a weight are needed, under a price on
 * their expected number.
 *
 * - training: `w' = w * z` with `z = clip(s (zeta - gamma) + gamma, 0, 1)`,
 *   `s = sigmoid((log u - log(1 - u) + log alpha) / beta)` and u uniform in (0, 1): one draw per gate and
 *   step, the same for all examples of the batch
 * - test: `z = clip(sigmoid(log alpha) (zeta - gamma) + gamma, 0, 1)`, which is exactly 0 for
 *   `log alpha <= log(-gamma / zeta)`: -2.4 by default
 * - backward: that of these formulas, to w and to log alpha (nothing where z is clipped)
 * - the loss grows by `strength * (weights per gate) * sum P(z > 0)`, with
 *   `P(z > 0) = sigmoid(log alpha - beta log(-gamma / zeta))`
 *
 * log alpha is a trainable weight of the layer; it begins at `log((1 - dropRate) / dropRate)` (the
 * authors' code adds noise of 0.01) and is kept within [log 0.01, log 100] after every step of `fit`. Gates
 * that are closed at test time count as pruned for `summarize` and file writing. The paper drops 20 % of
 * the input pixels at first and 50 % of everything else, trains with Adam, and evaluates with averaged
 * weights. A bias has no part in the gates of its layer's kernel.
 *
 * Paper: Louizos, Welling, Kingma, "Learning Sparse Neural Networks through L0 Regularization", 2018,
 * sections 2.2 and 2.3; limits and initial values as in the authors' code.
 *
 * @throws {OptionError} for a value outside its range.
 * @throws {UnsupportedError} for gates per input on a weight that has no inputs, as a bias.
 * @example
 * parametrize(tfl.layers.dense({ units: 300 }), { kernel: [l0Gates({ strength: 0.1 / 60000 })] });
 */
export function l0Gates(options: L0Options): L0Transform {
  checkOptions('l0Gates', options, ['strength', 'per', 'dropRate', 'beta', 'gamma', 'zeta']);
  const { strength, per, dropRate = 0.5, beta = 2 / 3, gamma = -0.1, zeta = 1.1 } = options;
  checkRange('l0Gates', 'strength', strength, 0);
  checkRange('l0Gates', 'dropRate', dropRate, 0.01, 0.99);
  if (per !== undefined && !['in', 'out', 'element'].includes(per)) {
    throw new OptionError(`l0Gates: per must be in, out or element, not "${per}".`);
  }
  if (!(beta > 0 && gamma < 0 && zeta > 1) || ![beta, gamma, zeta].every(Number.isFinite)) {
    throw new OptionError(
      `l0Gates: beta must be above 0, gamma below 0 and zeta above 1, not ${beta}, ${gamma}, ${zeta}.`,
    );
  }
  const stretched = (s: tf.Tensor) => tf.clipByValue(tf.add(tf.mul(s, zeta - gamma), gamma), 0, 1);
  const gatesAtTest = ({ logAlpha }: L0State) => stretched(tf.sigmoid(logAlpha));
  const bake = (weight: tf.Tensor, state: L0State) => gated(weight, gatesAtTest(state), state);
  return {
    stochastic: true,
    getClassName: () => CLASS_NAME,
    getConfig: () => ({ ...options }),
    build(site) {
      const { in: input, space } = site.axes;
      const kind = per ?? (space.length > 0 || input < 0 ? 'out' : 'in');
      const slices = slicesOf(`l0Gates per ${kind}`, kind, site);
      const initial = Math.log((1 - dropRate) / dropRate);
      const logAlpha = site.addWeight('logAlpha', slices.shape, initial, true);
      return { logAlpha, slices, key: site.key };
    },
    apply(weight, state, { training, random }) {
      if (!training) return bake(weight, state);
      const { logAlpha, slices, key } = state;
      const u = tf.clipByValue(random(key, slices.shape), EPSILON, 1 - EPSILON);
      const noise = tf.sub(tf.log(u), tf.log(tf.sub(1, u)));
      const s = tf.sigmoid(tf.div(tf.add(noise, logAlpha), beta));
      return gated(weight, stretched(s), state);
    },
    penalty(_weight, { logAlpha, slices }) {
      const open = tf.sigmoid(tf.sub(logAlpha, beta * Math.log(-gamma / zeta)));
      return tf.mul(strength * slices.size, tf.sum(open)) as tf.Scalar;
    },
    update(_before, after, { logAlpha }) {
      logAlpha.assign(tf.clipByValue(logAlpha, MIN_LOG_ALPHA, MAX_LOG_ALPHA));
      return after;
    },
    bake,
    encoding(weight, state) {
      const gates = gatesAtTest(state);
      if (tf.min(gates).dataSync()[0]! > 0) return {};
      const each = gated(tf.onesLike(weight), gates, state).dataSync();
      return { mask: Uint8Array.from(each, (gate) => (gate > 0 ? 1 : 0)) };
    },
  };
}
registerTransform(CLASS_NAME, (config) => l0Gates(config as unknown as L0Options));

/** Every slice of the weight times its gate. */
function gated(weight: tf.Tensor, gates: tf.Tensor, { slices }: L0State): tf.Tensor {
  return tf.reshape(tf.mul(tf.reshape(weight, slices.view), gates), weight.shape);
}
