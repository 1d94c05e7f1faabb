// Random scores: the control that every other criterion has to beat.
import type { WeightCriterion } from '../criterion.ts';

/**
 * Scores drawn at random, seeded by the option `seed` of `prune`: what every other criterion has to beat.
 *
 * `s = tan(pi * (u - 1/2))` with u uniform in (0, 1): Cauchy distributed. The mean of any number of such
 * scores has the same distribution as one of them, so the chance of a unit does not depend on its size.
 *
 * @example
 * await prune(model, { criterion: criteria.random(), granularity: 'element', sparsity: 0.9, seed: 1 });
 */
export function random(): WeightCriterion {
  return {
    name: 'random',
    level: 'weight',
    needs: [],
    reduction: 'mean',
    score({ values, random }) {
      const scores = new Float32Array(values.length);
      for (let i = 0; i < scores.length; i++) {
        scores[i] = Math.tan(Math.PI * (random.uniform() - 0.5));
      }
      return scores;
    },
  };
}
