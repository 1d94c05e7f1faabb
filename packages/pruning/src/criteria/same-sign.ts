// Weights that have changed their sign, then small ones, matter least.
import type { WeightCriterion } from '../criterion.ts';

/**
 * `s = max(0, w * sign(w0))` with w0 the weight before training and sign(0) = +1: the magnitude where the
 * sign is still what it was, else 0. Of a unit the mean over its entries. Applied to the network before
 * training it is the supermask that works without any training of weights.
 *
 * Paper: Zhou, Lan, Liu, Yosinski, "Deconstructing Lottery Tickets: Zeros, Signs, and the Supermask", 2019,
 * section 5, 'large final, same sign'.
 *
 * @example
 * await prune(model, { criterion: criteria.sameSign(), granularity: 'element', sparsity: 0.5, initial });
 */
export function sameSign(): WeightCriterion {
  return {
    name: 'sameSign',
    level: 'weight',
    needs: ['initial'],
    reduction: 'mean',
    score: ({ values, initial }) =>
      values.map((value, i) => Math.max(0, initial![i]! < 0 ? -value : value)),
  };
}
