// Filter pruning via geometric median (FPGM).
import { UnsupportedError } from '@thimble/base';
import type { ChannelCriterion } from '../criterion.ts';
import { filtersOf } from './channel-evidence.ts';

/**
 * `s_j = sum_k ||F_j - F_k||_2` over all filters k: the filters nearest to the geometric median of all are
 * the most replaceable and go first, large or small.
 *
 * F_j is all that makes channel j, without biases: its filter, or the columns of its unit in all gates and
 * in the recurrent kernel; where several layers make it together (residual sums), their filters in a row.
 * Biases, batch normalisation and data are not looked at.
 *
 * Paper: He, Liu, Wang, Hu, Yang, "Filter Pruning via Geometric Median for Deep Convolutional Neural Networks
 * Acceleration", 2019, section 3.3. Sums grow with the number and size of filters: with scope 'global'
 * use `normalized(geometricMedian())`.
 *
 * @throws {UnsupportedError} for a group whose channels no kernel makes.
 * @example
 * await prune(model, { criterion: criteria.geometricMedian(), granularity: 'neuron', sparsity: 0.5 });
 */
export function geometricMedian(): ChannelCriterion {
  return {
    name: 'geometricMedian',
    level: 'channel',
    needs: [],
    score({ group, kernels }) {
      const makers = kernels.filter(({ role, shape }) => role === 'out' && shape.length > 1);
      if (makers.length === 0) {
        throw new UnsupportedError(
          `criteria.geometricMedian: no kernel makes the channels of ${group.name}; leave them out of ` +
            'targets.',
        );
      }
      const parts = makers.map((kernel) => filtersOf(kernel, group.size));
      const filters = Array.from({ length: group.size }, (_, channel) =>
        Float64Array.from(parts.flatMap((part) => part[channel]!)),
      );
      return distanceSums(filters);
    },
  };
}

function distanceSums(filters: Float64Array[]): Float64Array {
  const sums = new Float64Array(filters.length);
  for (let j = 0; j < filters.length; j++) {
    for (let k = 0; k < j; k++) {
      const distance = distanceBetween(filters[j]!, filters[k]!);
      sums[j]! += distance;
      sums[k]! += distance;
    }
  }
  return sums;
}

function distanceBetween(a: Float64Array, b: Float64Array): number {
  let squares = 0;
  for (let i = 0; i < a.length; i++) squares += (a[i]! - b[i]!) ** 2;
  return Math.sqrt(squares);
}
