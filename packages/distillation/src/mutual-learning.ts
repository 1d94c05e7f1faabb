// Deep mutual learning: students that teach one another from the first step on.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { detached, type StepContext, ThimbleCallback } from '@thimble/core';
import { fitPeers, type PeerOptions, type Peers } from './peers.ts';
import { checkScheduled, type Scheduled, valueAt } from './scheduled.ts';
import { resolveSoftTargets, softTargetDivergence } from './soft-targets.ts';
import { givesProbabilities, toLogits } from './teacher.ts';

const OWNER = 'mutualLearning';

/** Options of {@link mutualLearning}, and all of `fit`'s. */
export interface MutualLearningOptions extends PeerOptions {
  /** T > 0: divides all logits before the softmax; default 1. */
  temperature?: number;
  /** Weight of what the others teach: a number of at least 0 or one of `schedules`; default 1. */
  weight?: Scheduled;
}

/**
 * Trains models together, each on the labels and on the answers of the others:
 *
 * `L_i = CE_i + weight * mean over j != i of T^2 KL(p_j || p_i)`
 *
 * with the divergence summed over the classes and averaged over the batch. The others' answers are constants to model
 * i. All models take their steps at once, from the answers before the step; the paper takes turns. One optimizer trains
 * the sum of the losses.
 *
 * Paper: Zhang, Xiang, Hospedales and Lu, "Deep Mutual Learning", 2018, section 3.
 *
 * @throws OptionError for less than two models; ShapeError where they differ in inputs or classes
 * @example
 * const { models, history } = await mutualLearning({ models: [student, small], data: train, epochs: 1 });
 */
export async function mutualLearning(options: MutualLearningOptions): Promise<Peers> {
  const { temperature = 1, weight = 1, ...training } = options;
  resolveSoftTargets(OWNER, { temperature });
  checkScheduled(OWNER, 'weight', weight);
  const callback = new MutualLearning(training.models, temperature, weight);
  return fitPeers(OWNER, training, callback);
}

class MutualLearning extends ThimbleCallback {
  readonly #models: readonly LayersModel[];
  readonly #temperature: number;
  readonly #weight: Scheduled;

  constructor(models: readonly LayersModel[], temperature: number, weight: Scheduled) {
    super();
    this.#models = models;
    this.#temperature = temperature;
    this.#weight = weight;
  }

  override loss(loss: tf.Scalar, outputs: tf.Tensor[], context: StepContext): tf.Scalar {
    const weight = valueAt(this.#weight, context, this.params);
    checkScheduled(OWNER, 'weight', weight);
    const logits = outputs.map((output, i) =>
      toLogits(output, givesProbabilities(this.#models[i]!)),
    );
    return tf.add(loss, tf.mul(weight, mutualDivergence(logits, this.#temperature)));
  }
}

/**
 * What peers have to learn of one another: the sum over i of the mean over j != i of `T^2 KL(p_j || p_i)`, averaged
 * over the batch. Gradient by logit k of model i: `T mean_j (p_i - p_j)_k / batch`; none passes through p_j.
 *
 * @param logits of each peer, shape [batch, classes]
 * @example
 * const value = mutualDivergence([tf.tensor2d([[0, 1]]), tf.tensor2d([[0, 1]])], 1); // 0
 */
export function mutualDivergence(logits: readonly tf.Tensor[], temperature: number): tf.Scalar {
  return tf.tidy(() => {
    const fixed = detached(() => [...logits]);
    const each = logits.map((own, i) => {
      const others = fixed.filter((_, j) => j !== i);
      const divergences = others.map((other) => softTargetDivergence(own, [other], temperature));
      return tf.div(tf.mean(tf.addN(divergences)), others.length);
    });
    return tf.addN(each) as tf.Scalar;
  });
}
