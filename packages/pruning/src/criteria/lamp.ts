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
      const scores = new Float64Array(values.length);
      for (let i = 0; i < scores.length; i++) scores[i] = values[i]! ** 2;
      const order = byMagnitude(values);
      let sum = 0;
      for (let place = order.length - 1; place >= 0; place--) {
        const i = order[place]!;
        // What is no number stays so, by itself: whoever masks by the scores says which entry it is.
        if (Number.isNaN(scores[i]!)) continue;
        sum += scores[i]!;
        if (scores[i]! > 0) scores[i]! /= sum;
      }
      return scores;
    },
  };
}

/** How many bits of a magnitude one round of sorting looks at. */
const DIGIT = 11;
const DIGITS = 2 ** DIGIT;

/**
 * The indices of the values by rising magnitude, equal ones in order: a radix sort of the bits that are left without
 * the sign, whose order is that of the magnitudes. A sort by comparisons takes many times as long.
 */
function byMagnitude(values: Float32Array): Uint32Array {
  const words = new Uint32Array(values.slice().buffer);
  let order = new Uint32Array(words.length);
  let next = new Uint32Array(words.length);
  for (let i = 0; i < words.length; i++) {
    words[i]! &= 0x7fffffff;
    order[i] = i;
  }
  for (let shift = 0; shift < 31; shift += DIGIT) {
    const starts = new Uint32Array(DIGITS + 1);
    for (let i = 0; i < words.length; i++) starts[((words[i]! >>> shift) & (DIGITS - 1)) + 1]!++;
    for (let digit = 0; digit < DIGITS; digit++) starts[digit + 1]! += starts[digit]!;
    for (let place = 0; place < order.length; place++) {
      const i = order[place]!;
      next[starts[(words[i]! >>> shift) & (DIGITS - 1)]!++] = i;
    }
    [order, next] = [next, order];
  }
  return order;
}
