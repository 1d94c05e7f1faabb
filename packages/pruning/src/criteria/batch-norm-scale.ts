// Scales of batch normalisation (Network Slimming).
import { UnsupportedError } from '@thimble/base';
import type { ChannelCriterion } from '../criterion.ts';

/**
 * `s_j = |gamma_j|`, the factor that batch normalisation gives channel j; where several normalise it, or it
 * is normalised at several flattened positions, the mean of all.
 *
 * Train with an L1 penalty on gamma first, so that the useless ones are near 0. With scope 'global' one
 * threshold serves all layers, as in the paper; it may ask for all channels of a layer, which `prune`
 * refuses: prune per layer then, as the paper does for its fully connected network.
 *
 * Paper: Liu, Li, Shen, Huang, Yan, Zhang, "Learning Efficient Convolutional Networks through Network
 * Slimming", 2017, section 3.
 *
 * @throws {UnsupportedError} for a group of channels without batch normalisation, or with one that has no
 *   gamma (`scale: false`).
 * @example
 * const model = tfl.sequential({
 *   layers: [
 *     tfl.layers.dense({ units: 8, inputShape: [784] }),
 *     tfl.layers.batchNormalization(),
 *     tfl.layers.reLU(),
 *     tfl.layers.dense({ units: 10 }),
 *   ],
 * });
 * await prune(model, { criterion: criteria.batchNormScale(), granularity: 'neuron', sparsity: 0.5 });
 */
export function batchNormScale(): ChannelCriterion {
  return {
    name: 'batchNormScale',
    level: 'channel',
    needs: [],
    score({ group, kernels }) {
      const sums = new Float64Array(group.size);
      const counts = new Int32Array(group.size);
      for (const { weight, role, values, channels } of kernels) {
        if (role !== 'through' || weight !== 'gamma') continue;
        for (let i = 0; i < values.length; i++) {
          const channel = channels[i]!;
          if (channel < 0) continue;
          sums[channel]! += Math.abs(values[i]!);
          counts[channel]!++;
        }
      }
      const bare = counts.indexOf(0);
      if (bare >= 0) {
        throw new UnsupportedError(
          `criteria.batchNormScale: channel ${bare} of ${group.name} goes through no batch ` +
            'normalisation with a gamma. Leave its layers out of targets, or use another criterion.',
        );
      }
      return sums.map((sum, channel) => sum / counts[channel]!);
    },
  };
}
