// Magnitude: small weights matter least.
import { checkOptions, OptionError } from '@thimble/base';
import type { Reduction, WeightCriterion, WeightEvidence } from '../criterion.ts';

/**
 * What the entries of a unit make together: 'mean' the mean of |w|, 'l1' the sum of |w|, 'l2' the root of
 * the sum of w^2, 'max' the largest |w|. On single entries all are |w|.
 */
export type MagnitudeNorm = 'mean' | 'l1' | 'l2' | 'max';

/** Options of {@link magnitude}. */
export interface MagnitudeOptions {
  /** What the entries of a unit make together; default 'mean'. */
  norm?: MagnitudeNorm;
}

const REDUCTIONS: Record<MagnitudeNorm, Reduction> = {
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
  return { name: 'magnitude', ...magnitudes('criteria.magnitude', options.norm) };
}

/** A nameless criterion that scores by magnitude. */
export function magnitudes(
  owner: string,
  norm: MagnitudeNorm = 'mean',
): Omit<WeightCriterion, 'name'> {
  const reduction = REDUCTIONS[norm];
  if (!reduction) {
    throw new OptionError(
      `${owner}: norm must be one of ${Object.keys(REDUCTIONS).join(', ')}, not "${norm}".`,
    );
  }
  return {
    level: 'weight',
    needs: [],
    reduction,
    score: ({ values }) => {
      const scores = new Float32Array(values.length);
      if (norm === 'l2') for (let i = 0; i < scores.length; i++) scores[i] = values[i]! ** 2;
      else for (let i = 0; i < scores.length; i++) scores[i] = Math.abs(values[i]!);
      return scores;
    },
  };
}

/** The magnitudes of the entries that are kept. */
export function keptMagnitudes({ values, kept }: WeightEvidence): Float64Array {
  const sizes = new Float64Array(values.length);
  let count = 0;
  for (let i = 0; i < values.length; i++) if (kept[i]) sizes[count++] = Math.abs(values[i]!);
  return sizes.subarray(0, count);
}
