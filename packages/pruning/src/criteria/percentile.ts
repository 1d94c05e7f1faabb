// A threshold at a percentile of what is kept.
import { checkOptions, checkRange } from '@thimble/base';
import type { WeightCriterion } from '../criterion.ts';
import { valueOfRank } from '../select.ts';
import { keptMagnitudes, magnitudes } from './magnitude.ts';

/** Options of {@link percentile}. */
export interface PercentileOptions {
  /** From 0 to 100. */
  percent: number;
}

/**
 * Entries with `|w| < P` go, where P is the percentile of the |w| that each weight still keeps, by linear
 * interpolation between neighbours as numpy does it. Of units the mean |w| is compared with the same P.
 * It says itself how much goes: leave `sparsity` out.
 *
 * Repeated, it takes its share of what the last time has left. Entries equal to P stay, so that fewer than
 * the percentage may go; where the count must be exact use `magnitude` with a sparsity.
 *
 * @throws {OptionError} for a percent outside [0, 100].
 * @example
 * await prune(model, { criterion: criteria.percentile({ percent: 20 }), granularity: 'element' });
 */
export function percentile(options: PercentileOptions): WeightCriterion {
  const owner = 'criteria.percentile';
  checkOptions(owner, options, ['percent']);
  const { percent } = options;
  checkRange(owner, 'percent', percent, 0, 100);
  return {
    name: 'percentile',
    ...magnitudes(owner),
    threshold: (evidence) => quantile(keptMagnitudes(evidence), percent / 100),
  };
}

function quantile(values: Float64Array, share: number): number {
  if (values.length === 0) return 0;
  const place = share * (values.length - 1);
  const rank = Math.floor(place);
  const low = valueOfRank(values, rank);
  if (rank === place) return low;
  let [upTo, high] = [0, Number.POSITIVE_INFINITY];
  for (let i = 0; i < values.length; i++) {
    if (values[i]! <= low) upTo++;
    else high = Math.min(high, values[i]!);
  }
  // Of several that are equal to it, the next one is equal too.
  return upTo > rank + 1 ? low : low + (place - rank) * (high - low);
}
