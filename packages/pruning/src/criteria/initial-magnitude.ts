// Weights that were small before training matter least.
import type { WeightCriterion } from '../criterion.ts';

/**
 * `s = |w0|` with w0 the weight before training. Of a unit the mean over its entries. A control: it knows
 * nothing of what was learned.
 *
 * Paper: Zhou, Lan, Liu, Yosinski, "Deconstructing Lottery Tickets: Zeros, Signs, and the Supermask", 2019,
 * section 2, 'large init'.
 *
 * @example
 * await prune(model, { criterion: criteria.initialMagnitude(), granularity: 'element', sparsity: 0.5, initial });
 */
export function initialMagnitude(): WeightCriterion {
  return {
    name: 'initialMagnitude',
    level: 'weight',
    needs: ['initial'],
    reduction: 'mean',
    score: ({ initial }) => initial!.map(Math.abs),
  };
}
