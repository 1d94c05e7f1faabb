// Weights that training has not made larger matter least.
import type { WeightCriterion } from '../criterion.ts';

/**
 * `s = |w| - |w0|` with w0 the weight before training. Of a unit the mean over its entries.
 *
 * Paper: Zhou, Lan, Liu, Yosinski, "Deconstructing Lottery Tickets: Zeros, Signs, and the Supermask", 2019,
 * section 2, 'magnitude increase'.
 *
 * @example
 * await prune(model, { criterion: criteria.magnitudeIncrease(), granularity: 'element', sparsity: 0.5, initial });
 */
export function magnitudeIncrease(): WeightCriterion {
  return {
    name: 'magnitudeIncrease',
    level: 'weight',
    needs: ['initial'],
    reduction: 'mean',
    score: ({ values, initial }) =>
      values.map((value, i) => Math.abs(value) - Math.abs(initial![i]!)),
  };
}
