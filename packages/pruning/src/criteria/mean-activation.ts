// Mean activation.
import type { ChannelCriterion } from '../criterion.ts';
import { activationsOf, meanOverExamples } from './channel-evidence.ts';

/**
 * `s_j =` the mean over examples and positions of the activation of channel j. Meant for activations that
 * are not negative, as behind ReLU; signs are kept, so that others may cancel out.
 *
 * Paper: Molchanov, Tyree, Karras, Aila, Kautz, "Pruning Convolutional Neural Networks for Resource
 * Efficient Inference", 2017, section 2, "Activation".
 *
 * @example
 * await prune(model, { criterion: criteria.meanActivation(), granularity: 'neuron', sparsity: 0.5, data: train });
 */
export function meanActivation(): ChannelCriterion {
  return {
    name: 'meanActivation',
    level: 'channel',
    needs: ['activations'],
    score(evidence) {
      const { mean, examples } = activationsOf('meanActivation', evidence);
      return meanOverExamples(mean, examples, evidence.group.size);
    },
  };
}
