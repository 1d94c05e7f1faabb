// An absolute threshold on magnitudes.
import { checkOptions, checkRange } from '@thimble/base';
import type { WeightCriterion } from '../criterion.ts';
import { type MagnitudeNorm, magnitudes } from './magnitude.ts';

/** Options of {@link threshold}. */
export interface ThresholdOptions {
  /** What is smaller goes; at least 0. */
  value: number;
  /** What the entries of a unit make together before they are compared; default 'mean'. */
  norm?: MagnitudeNorm;
}

/**
 * Units with `s < value` go, where s is the mean, L1, L2 or largest of the |w| of the unit. It says itself
 * how much goes: leave `sparsity` out.
 *
 * With norm 'max' a unit goes when none of its entries reaches the value.
 *
 * @throws {OptionError} for a value that is no number from 0 on, or an unknown norm.
 * @example
 * await prune(model, { criterion: criteria.threshold({ value: 0.01 }), granularity: 'element' });
 */
export function threshold(options: ThresholdOptions): WeightCriterion {
  const owner = 'criteria.threshold';
  checkOptions(owner, options, ['value', 'norm']);
  const { value, norm } = options;
  checkRange(owner, 'value', value, 0);
  return { name: 'threshold', ...magnitudes(owner, norm), threshold: () => value };
}
