// A threshold in standard deviations of each layer's weights.
import { checkOptions, checkRange } from '@thimble/base';
import type { WeightCriterion } from '../criterion.ts';
import { magnitudes } from './magnitude.ts';

/** Options of {@link deviations}. */
export interface DeviationsOptions {
  /** The quality parameter of the paper; at least 0. */
  q: number;
}

/**
 * Entries with `|w| < q * std(W)` go, where std is the standard deviation (by n, around the mean) of the
 * entries that the weight still keeps. Of units the mean |w| is compared. It says itself how much goes:
 * leave `sparsity` out.
 *
 * Paper: Han, Pool, Tran, Dally, "Learning both Weights and Connections for Efficient Neural Networks",
 * 2015, section 3. Values of q from 0.25 to 2 are in use; normally distributed weights lose 68 % at q = 1.
 *
 * @throws {OptionError} for a q that is no number from 0 on.
 * @example
 * await prune(model, { criterion: criteria.deviations({ q: 0.5 }), granularity: 'element' });
 */
export function deviations(options: DeviationsOptions): WeightCriterion {
  const owner = 'criteria.deviations';
  checkOptions(owner, options, ['q']);
  const { q } = options;
  checkRange(owner, 'q', q, 0);
  return {
    name: 'deviations',
    ...magnitudes(owner),
    threshold: ({ values, kept }) => q * deviationOf(values, kept),
  };
}

function deviationOf(values: Float32Array, kept: Uint8Array): number {
  let count = 0;
  let sum = 0;
  for (let i = 0; i < values.length; i++) {
    if (!kept[i]) continue;
    count++;
    sum += values[i]!;
  }
  const mean = sum / count;
  let squares = 0;
  for (let i = 0; i < values.length; i++) if (kept[i]) squares += (values[i]! - mean) ** 2;
  return Math.sqrt(squares / count);
}
