// First-order Taylor expansion by activations.
import { checkOptions, DataError, OptionError } from '@thimble/base';
import type { ChannelCriterion } from '../criterion.ts';
import { activationsOf, meanOverExamples } from './channel-evidence.ts';
import { unitNorm } from './normalized.ts';

/** Options of {@link taylor}. */
export interface TaylorOptions {
  /** Whether to divide the scores of each group by their L2 norm, as the paper does; default true. */
  normalize?: boolean;
}

/**
 * `s_j = mean over examples of |mean over positions of a * dL/da|`: what the loss would change by without
 * channel j, to first order. The absolute value is taken for each example, before examples are averaged;
 * else those with opposite signs cancel out.
 *
 * Paper: Molchanov, Tyree, Karras, Aila, Kautz, "Pruning Convolutional Neural Networks for Resource
 * Efficient Inference", 2017, section 2, "Taylor expansion" and "Normalization".
 *
 * @throws {OptionError} for a `normalize` that is not true or false.
 * @example
 * await prune(model, { criterion: criteria.taylor(), granularity: 'neuron', sparsity: 0.5, data: train });
 */
export function taylor(options: TaylorOptions = {}): ChannelCriterion {
  checkOptions('criteria.taylor', options, ['normalize']);
  const { normalize = true } = options;
  if (typeof normalize !== 'boolean') {
    throw new OptionError(`criteria.taylor: normalize must be true or false, not ${normalize}.`);
  }
  return {
    name: 'taylor',
    level: 'channel',
    needs: ['activations', 'taylor'],
    score(evidence) {
      const { taylor, examples } = activationsOf('taylor', evidence);
      if (!taylor) {
        throw new DataError(
          `criteria.taylor: there are no gradients by the channels of ${evidence.group.name}; leave its ` +
            'layers out of targets.',
        );
      }
      const scores = meanOverExamples(taylor.map(Math.abs), examples, evidence.group.size);
      return normalize ? unitNorm(scores) : scores;
    },
  };
}
