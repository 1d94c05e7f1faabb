// Channel selection by LASSO regression.
import { checkInteger, checkOptions } from '@thimble/base';
import { lasso as solve } from '@thimble/core';
import type { ChannelCriterion } from '../criterion.ts';
import { contributionsOf } from './channel-evidence.ts';

/** Options of {@link lasso}. */
export interface LassoOptions {
  /** Number of penalties tried, falling evenly by factors to a 10000th of the first; default 100. */
  steps?: number;
}

/** The last penalty tried, as a share of the first. */
const LAST = 1e-4;

/** A share of the largest contribution that the descent, which ends before it is exact, may have left. */
const NOISE = 1e-5;

/**
 * The penalty at which a channel vanishes from
 * `min_b 1/2N ||Y - sum_j b_j X_j||^2 + lambda ||b||_1`,
 * where X_j is what channel j contributes to the answers of the layers that read it, and Y their sum, before
 * anything was pruned. The larger the penalty it survives, the longer a channel stays.
 *
 * Scores are on the scale of lambda over `max_j |X_j . Y| / N`, where the first channel appears: from 1
 * down. Penalties are tried one by one; among channels that appear between the same two of them, those come
 * first that then contribute more (`|b_j| ||X_j||`). One that never appears scores 0.
 *
 * Paper: He, Zhang, Sun, "Channel Pruning for Accelerating Very Deep Neural Networks", 2017, section 3.1,
 * where lambda is raised until few enough channels are left. Kernels are not scaled to norm 1 first.
 * Afterwards the paper fits the reading kernels by least squares (`compensate`).
 *
 * @throws {DataError} for a group of channels that no layer reads through a kernel.
 * @example
 * await prune(model, { criterion: criteria.lasso(), granularity: 'neuron', sparsity: 0.5, data: train });
 */
export function lasso(options: LassoOptions = {}): ChannelCriterion {
  checkOptions('criteria.lasso', options, ['steps']);
  const { steps = 100 } = options;
  checkInteger('criteria.lasso', 'steps', steps, 2);
  return {
    name: 'lasso',
    level: 'channel',
    needs: ['contributions'],
    score(evidence) {
      const { gram, correlations } = contributionsOf('lasso', evidence);
      return entrances(gram, correlations, steps);
    },
  };
}

/** For each channel the largest penalty, as a share of the first, at which it is there. */
function entrances(gram: Float64Array, correlations: Float64Array, steps: number): Float64Array {
  const channels = correlations.length;
  const scores = new Float64Array(channels);
  const first = correlations.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
  if (first === 0) return scores;
  let b: Float64Array = new Float64Array(channels);
  const contribution = (j: number) => Math.abs(b[j]!) * Math.sqrt(gram[j * channels + j]!);
  let above = 1;
  for (let step = 1; step < steps; step++) {
    const penalty = LAST ** (step / (steps - 1));
    b = solve(gram, correlations, first * penalty, { start: b, iterations: 1000 }).coefficients;
    const all = b.reduce((max, _, j) => Math.max(max, contribution(j)), 0);
    const entered = [];
    for (let j = 0; j < channels; j++) {
      if (scores[j] === 0 && contribution(j) > NOISE * all) entered.push(j);
    }
    const most = entered.reduce((max, j) => Math.max(max, contribution(j)), 0);
    for (const j of entered) {
      scores[j] = penalty + (above - penalty) * (contribution(j) / most);
    }
    above = penalty;
  }
  return scores;
}
