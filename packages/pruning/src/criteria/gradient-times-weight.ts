// Running mean of |gradient times weight| in training: what is called MAGNet.
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions, checkRange, OptionError } from '@thimble/base';
import type { WeightCriterion } from '../criterion.ts';

/** Options of {@link gradientTimesWeight}. */
export interface GradientTimesWeightOptions {
  /** How much of the running mean a step keeps, in [0, 1); default 0.9. */
  decay?: number;
}

/**
 * `s <- decay * s + (1 - decay) * |g * w|` at each step of training, from 0 on. Of a unit the mean over its
 * entries. With `gradualPruning` in `fit` and a rising sparsity it prunes from gradients to a target ratio.
 *
 * This is what goes by the name MAGNet. There is no paper to be found that defines it: the formula is our
 * interpretation of "gradual pruning with a mask that is computed from gradients and a target ratio".
 *
 * @throws {OptionError} for a decay outside [0, 1).
 * @example
 * const callback = gradualPruning({
 *   criterion: criteria.gradientTimesWeight({ decay: 0.99 }), granularity: 'element', every: 5,
 *   schedule: sparsitySchedules.polynomial({ final: 0.9, begin: 0, end: 20 }),
 * });
 * await fit(model, train, { epochs: 2, callbacks: [callback] });
 */
export function gradientTimesWeight(options: GradientTimesWeightOptions = {}): WeightCriterion {
  const owner = 'criteria.gradientTimesWeight';
  checkOptions(owner, options, ['decay']);
  const { decay = 0.9 } = options;
  checkRange(owner, 'decay', decay, 0, 1);
  if (decay === 1) throw new OptionError(`${owner}: decay must be below 1: it would see no step.`);
  return {
    name: 'gradientTimesWeight',
    level: 'weight',
    needs: ['history'],
    reduction: 'mean',
    score: ({ history }) => history!,
    accumulate: (running, weight, gradient) =>
      tf.add(tf.mul(running, decay), tf.mul(tf.abs(tf.mul(weight, gradient)), 1 - decay)),
  };
}
