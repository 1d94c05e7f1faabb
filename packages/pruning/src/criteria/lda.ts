// Separation of classes by linear discriminant analysis.
import type { ActivationEvidence, ChannelCriterion } from '../criterion.ts';
import { activationsOf, classesOf, responsesOf } from './channel-evidence.ts';

/**
 * `s_j = B_j / W_j` over the mean response r of channel j to each example: B is the variance of the class
 * means around the mean of all, weighted by the size of the class; W the mean variance within the classes.
 *
 * - `B = sum_k n_k (m_k - m)^2 / N`
 * - `W = sum_k sum_(i in k) (r_i - m_k)^2 / N`
 *
 * Channels that tell no classes apart go first. A channel without any variance scores 0, one that differs
 * between classes only has the largest number.
 *
 * Paper: Tian, Arbel, Clark, "Deep LDA-Pruned Nets for Efficient Facial Gender Classification", 2017,
 * section 3. The paper scores the last convolution, whose responses are nearly uncorrelated, and goes back
 * from there by deconvolution; here each group is scored by itself. Labels must be classes.
 *
 * @throws {DataError} when all examples are of one class.
 * @example
 * await prune(model, { criterion: criteria.lda(), granularity: 'neuron', sparsity: 0.5, data: train });
 */
export function lda(): ChannelCriterion {
  return {
    name: 'lda',
    level: 'channel',
    needs: ['activations'],
    score(evidence) {
      const activations = activationsOf('lda', evidence);
      const classes = classesOf('lda', activations);
      const { size } = evidence.group;
      return Float64Array.from({ length: size }, (_, channel) =>
        separation(activations, channel, size, classes),
      );
    },
  };
}

function separation(
  activations: ActivationEvidence,
  channel: number,
  channels: number,
  { of, counts }: { of: Int32Array; counts: Int32Array },
): number {
  const responses = responsesOf(activations, channel, channels);
  // From the first on, so that a channel that never changes has no variance by rounding.
  const first = responses[0]!;
  for (let i = 0; i < responses.length; i++) responses[i]! -= first;
  const means = new Float64Array(counts.length);
  for (let i = 0; i < responses.length; i++) means[of[i]!]! += responses[i]!;
  let mean = 0;
  for (let k = 0; k < means.length; k++) {
    mean += means[k]! / responses.length;
    means[k]! /= counts[k]!;
  }
  let between = 0;
  for (let k = 0; k < means.length; k++) between += counts[k]! * (means[k]! - mean) ** 2;
  let within = 0;
  for (let i = 0; i < responses.length; i++) within += (responses[i]! - means[of[i]!]!) ** 2;
  if (between === 0) return 0;
  return within === 0 ? Number.MAX_VALUE : Math.min(between / within, Number.MAX_VALUE);
}
