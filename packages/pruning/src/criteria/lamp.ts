// LAMP: magnitudes that can be compared between layers.
import type { WeightCriterion } from '../criterion.ts';

/**
 * `s_u = w_u^2 / sum of w_v^2 over all v of the same weight with |w_v| >= |w_u|`: the share of what would be left if it
 * were the next to go. In (0, 1]; the largest entry of every weight has 1, so with scope 'global' no layer is emptied,
 * and small layers keep more than by plain magnitude. Within a layer the order is that of the magnitudes.
 *
 * Paper: Lee, Park, Mo, Ahn, Shin, "Layer-adaptive Sparsity for the Magnitude-based Pruning", 2021, equation 2.
 *
 * @example
 * await prune(model, { criterion: criteria.lamp(), scope: 'global', granularity: 'element', sparsity: 0.9 });
 */
export function lamp(): WeightCriterion {
  return {
    name: 'lamp',
    level: 'weight',
    needs: [],
    score: ({ values }) => {
      const scores = Float64Array.from(values, (value) => value * value);
      const order = new Uint32Array(scores.length);
      for (let i = 0; i < order.length; i++) order[i] = i;
      order.sort((a, b) => scores[b]! - scores[a]! || b - a);
      let sum = 0;
      for (const i of order) {
        sum += scores[i]!;
        if (scores[i]! > 0) scores[i]! /= sum;
      }
      return scores;
    },
  };
}
