// Average percentage of zeros (APoZ).
import { checkOptions, checkRange } from '@thimble/base';
import type { ChannelCriterion } from '../criterion.ts';
import { activationsOf, meanOverExamples } from './channel-evidence.ts';

/** Options of {@link apoz}. */
export interface ApozOptions {
  /**
   * Where given, the rule of the paper says how much goes: in each group the channels whose share of zeros
   * is more than `mean + deviations * std` of the group's. The paper takes 1. Leave `sparsity` out then.
   */
  deviations?: number;
}

/**
 * `s_j = 1 - APoZ_j`, where APoZ is the mean over examples and positions of `1[a = 0]`: channels that ReLU
 * shuts most often go first. Look behind the ReLU: what is exactly 0 counts, nothing else.
 *
 * Paper: Hu, Peng, Tai, Tang, "Network Trimming: A Data-Driven Neuron Pruning Approach towards Efficient Deep
 * Architectures", 2016, sections 3.1 and 3.2.
 *
 * @throws {OptionError} for negative deviations.
 * @example
 * await prune(model, { criterion: criteria.apoz(), granularity: 'neuron', sparsity: 0.5, data: train });
 */
export function apoz(options: ApozOptions = {}): ChannelCriterion {
  checkOptions('criteria.apoz', options, ['deviations']);
  const { deviations } = options;
  if (deviations !== undefined) checkRange('criteria.apoz', 'deviations', deviations, 0);
  return {
    name: 'apoz',
    level: 'channel',
    needs: ['activations'],
    score(evidence) {
      const { zeros, examples } = activationsOf('apoz', evidence);
      return meanOverExamples(zeros, examples, evidence.group.size).map((share) => 1 - share);
    },
    ...(deviations !== undefined && { threshold: (scores) => belowMean(scores, deviations) }),
  };
}

/** `mean - q * std` of scores; for `1 - APoZ` what lies below has more zeros than `mean + q * std`. */
function belowMean(scores: ArrayLike<number>, q: number): number {
  const n = scores.length;
  let sum = 0;
  for (let i = 0; i < n; i++) sum += scores[i]!;
  const mean = sum / n;
  let squares = 0;
  for (let i = 0; i < n; i++) squares += (scores[i]! - mean) ** 2;
  return mean - q * Math.sqrt(squares / n);
}
