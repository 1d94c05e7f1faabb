// First-order Taylor expansion by weights.
import type { WeightCriterion } from '../criterion.ts';

/**
 * `s = (w * g)^2` with g the gradient of the mean loss over the data: the square of what the loss would
 * change by without the weight, to first order. Of a unit the mean over its entries, so that units of
 * different sizes can compete ('global').
 *
 * Paper: Molchanov, Mallya, Tyree, Frosio, Kautz, "Importance Estimation for Neural Network Pruning", 2019,
 * section 3, the first-order form. The paper adds up the entries of a filter; the mean orders the filters
 * of one layer in the same way.
 *
 * @example
 * await prune(model, { criterion: criteria.taylorWeight(), granularity: 'neuron', sparsity: 0.5, data: train });
 */
export function taylorWeight(): WeightCriterion {
  return {
    name: 'taylorWeight',
    level: 'weight',
    needs: ['gradients'],
    reduction: 'mean',
    score: ({ values, gradient }) => values.map((value, i) => (value * gradient![i]!) ** 2),
  };
}
