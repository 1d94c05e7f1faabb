// Magnitude: small weights matter least.
import { checkOptions, OptionError } from '@thimble/base';
import type { Reduction, WeightCriterion } from '../criterion.ts';

/** Options of {@link magnitude}. */
export interface MagnitudeOptions {
  /**
   * What the entries of a unit make together: 'mean' (default) the mean of |w|, 'l1' the sum of |w|,
   * 'l2' the root of the sum of w^2, 'max' the largest |w|. On single entries all are |w|.
   */
  norm?: 'mean' | 'l1' | 'l2' | 'max';
}

const REDUCTIONS: Record<NonNullable<MagnitudeOptions['norm']>, Reduction> = {
  mean: 'mean',
  l1: 'sum',
  l2: 'norm',
  max: 'max',
};

/**
 * `s = |w|`, and over the entries of a unit their mean, L1, L2 or largest.
 *
 * Papers: Han, Pool, Tran, Dally, "Learning both Weights and Connections for Efficient Neural Networks",
 * 2015; on filters with 'l1': Li, Kadav, Durdanovic, Samet, Graf, "Pruning Filters for Efficient ConvNets",
 * 2017, section 3.1. Where units of different sizes compete ('global'), only 'mean' treats them alike.
 *
 * @throws {OptionError} for an unknown norm.
 * @example
 * await prune(model, { criterion: criteria.magnitude({ norm: 'l1' }), granularity: 'neuron', sparsity: 0.5 });
 */
export function magnitude(options: MagnitudeOptions = {}): WeightCriterion {
  checkOptions('criteria.magnitude', options, ['norm']);
  const { norm = 'mean' } = options;
  const reduction = REDUCTIONS[norm];
  if (!reduction) {
    throw new OptionError(
      `criteria.magnitude: norm must be one of ${Object.keys(REDUCTIONS).join(', ')}, not "${norm}".`,
    );
  }
  return {
    name: 'magnitude',
    level: 'weight',
    needs: [],
    reduction,
    score: ({ values }) =>
      values.map(norm === 'l2' ? (value) => value * value : Math.abs) as Float32Array,
  };
}
