// What a channel tells about the class.
import type { ChannelCriterion } from '../criterion.ts';
import { selectSmallest } from '../select.ts';
import { activationsOf, classesOf, responsesOf } from './channel-evidence.ts';

/**
 * `s_j = H(class) - H(class | r_j > median)` in bits: by how much one's uncertainty of the class falls on
 * being told whether the mean response of channel j to the example is above the median of its responses.
 * Between 0 and 1.
 *
 * "Information gain" is named in the literature on pruning without one formula; this is our definition.
 * Labels must be classes. Above means strictly above, so a channel that is 0 for most examples is split
 * into 0 and not 0; of an even number of responses the lower of the two in the middle is the median. It
 * needs many more examples than classes: with few, chance alone looks like information.
 *
 * @throws {DataError} when all examples are of one class.
 * @example
 * await prune(model, { criterion: criteria.informationGain(), granularity: 'neuron', sparsity: 0.5, data: train });
 */
export function informationGain(): ChannelCriterion {
  return {
    name: 'informationGain',
    level: 'channel',
    needs: ['activations'],
    score(evidence) {
      const activations = activationsOf('informationGain', evidence);
      const { of, counts } = classesOf('informationGain', activations);
      const { size } = evidence.group;
      const before = entropyOf(counts);
      return Float64Array.from({ length: size }, (_, channel) => {
        const responses = responsesOf(activations, channel, size);
        const median = selectSmallest(responses.slice(), (responses.length - 1) >> 1);
        const above = new Int32Array(counts.length);
        for (let i = 0; i < responses.length; i++) if (responses[i]! > median) above[of[i]!]!++;
        const share = sumOf(above) / responses.length;
        const below = counts.map((count, label) => count - above[label]!);
        const after = share * entropyOf(above) + (1 - share) * entropyOf(below);
        return Math.max(0, before - after);
      });
    },
  };
}

function sumOf(counts: Int32Array): number {
  return counts.reduce((sum, count) => sum + count, 0);
}

/** In bits, of the shares that the counts are of their sum; 0 where that is 0. */
function entropyOf(counts: Int32Array): number {
  const total = sumOf(counts);
  let entropy = 0;
  for (const count of counts) {
    if (count > 0) entropy -= (count / total) * Math.log2(count / total);
  }
  return entropy;
}
