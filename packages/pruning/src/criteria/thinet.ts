// ThiNet: greedy choice of the channels whose absence changes the next layer least.
import type { ChannelCriterion } from '../criterion.ts';
import { contributionsOf } from './channel-evidence.ts';

/**
 * Channels go one after the other, each time the one with which the energy of all that is removed is
 * least: `min_T sum over samples of (sum_(j in T) x_j)^2`, T one larger at each step, where x_j is what
 * channel j contributes to an answer of a layer that reads it. The score is the position at which a
 * channel goes: 0, 1, 2 ... Of equal ones the first goes.
 *
 * Positions of different groups say nothing of one another: with scope 'global' every group loses about the
 * same share. Afterwards the paper scales what is left by least squares (`compensate`).
 *
 * Paper: Luo, Wu, Lin, "ThiNet: A Filter Level Pruning Method for Deep Neural Network Compression", 2017,
 * section 3.2, equation 6 and algorithm 1.
 *
 * @throws {DataError} for a group of channels that no layer reads through a kernel.
 * @example
 * await prune(model, { criterion: criteria.thinet(), granularity: 'neuron', sparsity: 0.5, data: train });
 */
export function thinet(): ChannelCriterion {
  return {
    name: 'thinet',
    level: 'channel',
    needs: ['contributions'],
    score: (evidence) =>
      greedyPositions(contributionsOf('thinet', evidence).gram, evidence.group.size),
  };
}

/** With T gone, the energy of T and j is that of T, plus `G_jj + 2 sum_(i in T) G_ij`. */
function greedyPositions(gram: Float64Array, channels: number): Float64Array {
  const positions = new Float64Array(channels).fill(-1);
  const added = Float64Array.from({ length: channels }, (_, j) => gram[j * channels + j]!);
  for (let position = 0; position < channels; position++) {
    let best = -1;
    for (let j = 0; j < channels; j++) {
      if (positions[j]! >= 0) continue;
      if (best < 0 || added[j]! < added[best]!) best = j;
    }
    positions[best] = position;
    for (let j = 0; j < channels; j++) added[j]! += 2 * gram[best * channels + j]!;
  }
  return positions;
}
