// Supermasks: a network that learns which of its random weights to use, and never changes one.
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions, OptionError, Random, sizeOf } from '@thimble/base';
import { registerTransform, type WeightTransform } from '@thimble/core';

/** Options of {@link supermask}. */
export interface SupermaskOptions {
  /** Score of every weight at first; default 0, at which half of the weights are used. */
  initial?: number;
  /** Dynamic Weight Rescaling: weights grow by (all weights) / (weights used). Default false. */
  scale?: boolean;
  /**
   * The mask at test time. 'sample' (default, as in the authors' code): one draw from the learned
   * probabilities. 'threshold': the weights with a probability of at least 1/2.
   */
  atTest?: 'sample' | 'threshold';
  /** Seed of that draw, a number; default 0. Weights of one shape draw the same numbers. */
  seed?: number;
}

/** The state of a supermask at one weight. */
export interface SupermaskState {
  /** The scores s; a weight is used with the probability sigmoid(s). */
  scores: tf.Variable;
  /** The uniform numbers of the draw at test time. */
  uniform: Float32Array;
  key: string;
}

/** A transform that learns a mask of a frozen weight; made by {@link supermask}. */
export type SupermaskTransform = WeightTransform<SupermaskState>;

const CLASS_NAME = 'ThimbleSupermask';

/**
 * Learns a mask instead of the weight: the stored weight stays what it is, for good.
 *
 * - training: `w' = w * m` with `m = 1` where `u < sigmoid(s)`, else 0, and u uniform in [0, 1): a draw
 *   per step; with `scale`, `w' = w * m * n / sum(m)` over the n weights
 * - backward, straight through the draw: `dL/ds = dL/dm * sigmoid(s) * (1 - sigmoid(s))`; nothing to w.
 *   With `scale` dL/dm has the part that comes by way of sum(m).
 * - test: one mask that stays the same until the scores change: a draw by `seed`, or the likelier half
 *   of the two values with `atTest: 'threshold'`
 *
 * The authors also draw at test time, and report the mean accuracy over ten draws: set `seed` to see other
 * ones. They train the scores by SGD with a learning rate of 100 for up to 2000 epochs, on networks whose
 * biases are frozen at zero: give layers `useBias: false`. Weights of one magnitude, with the signs of
 * the initial ones, do best.
 *
 * Paper: Zhou, Lan, Liu, Yosinski, "Deconstructing Lottery Tickets: Zeros, Signs, and the Supermask", 2019,
 * section 5; test time as in the authors' code.
 *
 * @throws {OptionError} for an `atTest` that is not known, or numbers that are none.
 * @example
 * parametrize(tfl.layers.dense({ units: 300, useBias: false }), { kernel: [supermask({ scale: true })] });
 */
export function supermask(options: SupermaskOptions = {}): SupermaskTransform {
  checkOptions('supermask', options, ['initial', 'scale', 'atTest', 'seed']);
  const { initial = 0, scale = false, atTest = 'sample', seed = 0 } = options;
  for (const [name, value] of Object.entries({ initial, seed })) {
    if (!Number.isFinite(value)) {
      throw new OptionError(`supermask: ${name} must be a number, not ${value}.`);
    }
  }
  if (atTest !== 'sample' && atTest !== 'threshold') {
    throw new OptionError(`supermask: atTest must be sample or threshold, not "${atTest}".`);
  }
  const maskAtTest = ({ scores, uniform }: SupermaskState) =>
    atTest === 'sample'
      ? draw(scores, tf.tensor(uniform, scores.shape))
      : tf.cast(tf.greaterEqual(scores, 0), 'float32');
  const masked = (weight: tf.Tensor, mask: tf.Tensor) => {
    const kept = tf.mul(weight, mask);
    return scale ? tf.mul(kept, tf.div(mask.size, tf.maximum(tf.sum(mask), 1))) : kept;
  };
  const bake = (weight: tf.Tensor, state: SupermaskState) => masked(weight, maskAtTest(state));
  return {
    freezes: true,
    stochastic: true,
    getClassName: () => CLASS_NAME,
    getConfig: () => ({ ...options }),
    build({ shape, key, addWeight }) {
      const random = new Random(seed, 'supermask');
      const uniform = Float32Array.from({ length: sizeOf(shape) }, () => random.uniform());
      return { scores: addWeight('scores', shape, initial, true), uniform, key };
    },
    apply(weight, state, { training, random }) {
      if (!training) return bake(weight, state);
      const { scores, key } = state;
      return masked(weight, drawStraightThrough(scores, random(key, scores.shape)));
    },
    bake,
    encoding: (_weight, state) => ({ mask: Uint8Array.from(maskAtTest(state).dataSync()) }),
  };
}
registerTransform(CLASS_NAME, (config) => supermask(config as SupermaskOptions));

/** 1 with the probability sigmoid(score), else 0. */
function draw(scores: tf.Tensor, uniform: tf.Tensor): tf.Tensor {
  return tf.cast(tf.less(uniform, tf.sigmoid(scores)), 'float32');
}

/** {@link draw}, with the gradient of sigmoid. */
function drawStraightThrough(scores: tf.Tensor, uniform: tf.Tensor): tf.Tensor {
  const op = tf.customGrad((...args) => {
    const [s, save] = args as [tf.Tensor, tf.GradSaveFunc];
    save([s]);
    return {
      value: draw(s, uniform),
      gradFunc(dy: tf.Tensor, saved: tf.Tensor[]) {
        const p = tf.sigmoid(saved[0]!);
        return tf.mul(dy, tf.mul(p, tf.sub(1, p)));
      },
    };
  });
  return op(scores);
}
