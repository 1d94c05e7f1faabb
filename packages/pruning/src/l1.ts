// L1: a price on the size of every entry of a weight.
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions, checkRange } from '@thimble/base';
import { registerTransform, type WeightTransform } from '@thimble/core';

/** Options of {@link l1Penalty}. */
export interface L1Options {
  /** Weight of the penalty in the loss, at least 0. */
  strength: number;
}

/** A transform that adds a penalty to the loss and leaves the weight as it is; made by {@link l1Penalty}. */
export type L1Transform = WeightTransform<null>;

const CLASS_NAME = 'ThimbleL1';

/**
 * Draws the entries of a weight towards zero, so that those that matter little end up small.
 *
 * - forward: `w' = w`; the loss grows by `strength * sum |w|`
 * - backward: the gradient of w grows by `strength * sign(w)`, with sign(0) = 0
 *
 * w is the weight as this link gets it: behind a mask the pruned entries cost nothing. Under a subgradient
 * entries come near zero but do not stay on it; prune them by magnitude. Han et al. found L1 better than
 * L2 before retraining, and L2 better after (section 3.1). On the scales of batch normalisation it is the
 * training of Network Slimming: see {@link slimming}.
 *
 * Papers: Han, Pool, Tran, Dally, "Learning both Weights and Connections for Efficient Neural Networks",
 * 2015; Liu et al., "Learning Efficient Convolutional Networks through Network Slimming", 2017.
 *
 * @throws {OptionError} when `strength` is below 0.
 * @example
 * parametrize(tfl.layers.dense({ units: 300 }), { kernel: [l1Penalty({ strength: 1e-5 })] });
 */
export function l1Penalty(options: L1Options): L1Transform {
  checkOptions('l1Penalty', options, ['strength']);
  const { strength } = options;
  checkRange('l1Penalty', 'strength', strength, 0);
  return {
    getClassName: () => CLASS_NAME,
    getConfig: () => ({ strength }),
    build: () => null,
    apply: (weight) => weight,
    penalty: (weight) => tf.mul(strength, l1Norm(weight)),
    bake: (weight) => weight,
    encoding: () => ({}),
  };
}
registerTransform(CLASS_NAME, (config) => l1Penalty(config as unknown as L1Options));

/** `sum |x|`, with the gradient `sign(x)`; that of tf.abs is -1 at 0. */
export function l1Norm(x: tf.Tensor): tf.Scalar {
  const op = tf.customGrad((...args) => {
    const [values, save] = args as [tf.Tensor, tf.GradSaveFunc];
    save([values]);
    return {
      value: tf.sum(tf.abs(values)),
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => tf.mul(dy, tf.sign(saved[0]!)),
    };
  });
  return op(x) as tf.Scalar;
}
