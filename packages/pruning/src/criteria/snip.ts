// SNIP: connection sensitivity before training.
import type { WeightCriterion } from '../criterion.ts';

/**
 * `s = |w * g|` with g the gradient of the mean loss over the data: |dL/dc| for a factor c = 1 on the
 * weight. Meant for a network that is not trained yet, with scope 'global'. The paper divides by the sum of
 * all scores, which leaves their order as it is. Of a unit the mean over its entries.
 *
 * Looks at 100 examples unless the option `examples` says otherwise. Prune in several steps of rising
 * sparsity for iterative SNIP: scores are then those of the network as it is left by the last step.
 *
 * Paper: Lee, Ajanthan, Torr, "SNIP: Single-shot Network Pruning based on Connection Sensitivity", 2019,
 * section 4. There biases compete too; here kernels only.
 *
 * @example
 * const rule = { criterion: criteria.snip(), granularity: 'element', scope: 'global' };
 * await prune(model, { ...rule, sparsity: 0.95, data: train });
 */
export function snip(): WeightCriterion {
  return {
    name: 'snip',
    level: 'weight',
    needs: ['gradients'],
    reduction: 'mean',
    examples: 100,
    score: ({ values, gradient }) => values.map((value, i) => Math.abs(value * gradient![i]!)),
  };
}
