// Movement: weights that training drives towards zero matter least.
import * as tf from '@tensorflow/tfjs-core';
import type { WeightCriterion } from '../criterion.ts';

/**
 * `s = -sum over the steps of w * g`: rises while a step of gradient descent moves the weight away from
 * zero, falls while it moves it towards zero. Of a unit the mean over its entries. It looks at training
 * steps, so it goes with `gradualPruning` in `fit`.
 *
 * A pruned weight has no gradient here, so its score stands still. In the paper it has one and may come
 * back; here what is pruned stays so.
 *
 * Paper: Sanh, Wolf, Rush, "Movement Pruning: Adaptive Sparsity by Fine-Tuning", 2020, section 4, without
 * the constant learning rate of the scores.
 *
 * @example
 * const callback = gradualPruning({
 *   criterion: criteria.movement(), granularity: 'element', scope: 'global', every: 5,
 *   schedule: sparsitySchedules.polynomial({ final: 0.9, begin: 0, end: 20 }),
 * });
 * await fit(model, train, { epochs: 2, callbacks: [callback] });
 */
export function movement(): WeightCriterion {
  return {
    name: 'movement',
    level: 'weight',
    needs: ['history'],
    reduction: 'mean',
    score: ({ history }) => history!,
    accumulate: (running, weight, gradient) => tf.sub(running, tf.mul(weight, gradient)),
  };
}
