// Co-distillation: networks that learn, after a while, from copies of one another that are a little out of date.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkInteger } from '@thimble/base';
import {
  copyModel,
  copyValues,
  readWeights,
  type StateValue,
  type StepContext,
  ThimbleCallback,
  type WeightValues,
  writeWeights,
} from '@thimble/core';
import { fitPeers, type PeerOptions, type Peers } from './peers.ts';
import { checkScheduled, type Scheduled, valueAt } from './scheduled.ts';
import { resolveSoftTargets, softTargetDivergence } from './soft-targets.ts';
import { givesProbabilities, teacherLogits, toLogits } from './teacher.ts';

const OWNER = 'codistillation';

/** Options of {@link codistillation}, and all of `fit`'s. */
export interface CodistillationOptions extends PeerOptions {
  /** Steps on the labels alone before the models listen to one another, at least 0; default 0. */
  burnIn?: number;
  /** Steps between two renewals of the copies, at least 1; default 50. */
  refresh?: number;
  /** T > 0: divides all logits before the softmax; default 1. */
  temperature?: number;
  /** Weight of what the others teach: a number of at least 0 or one of `schedules`; default 1. */
  weight?: Scheduled;
}

/**
 * Trains models together, each on the labels and, after `burnIn` steps, on the mean answer of the others:
 *
 * `L_i = CE_i + weight * T^2 KL(mean over j != i of p_j || p_i)`
 *
 * The answers p_j are those of copies, in inference mode, that are renewed every `refresh` steps, counted from the end
 * of the burn-in: the paper's machines see one another's weights that late. A checkpoint holds the copies.
 *
 * Paper: Anil and others, "Large Scale Distributed Neural Network Training through Online Distillation", 2018,
 * algorithm 1.
 *
 * @throws OptionError for less than two models, a refresh below 1; ShapeError where they differ in inputs or classes
 * @example
 * const { models } = await codistillation({ models: [student, small], data: train, burnIn: 1, refresh: 1 });
 */
export async function codistillation(options: CodistillationOptions): Promise<Peers> {
  const { burnIn = 0, refresh = 50, temperature = 1, weight = 1, ...training } = options;
  checkInteger(OWNER, 'burnIn', burnIn, 0);
  checkInteger(OWNER, 'refresh', refresh, 1);
  resolveSoftTargets(OWNER, { temperature });
  checkScheduled(OWNER, 'weight', weight);
  const settings = { burnIn, refresh, temperature, weight };
  return fitPeers(OWNER, training, new Codistillation(training.models, settings));
}

type Settings = Required<Omit<CodistillationOptions, keyof PeerOptions>>;

class Codistillation extends ThimbleCallback {
  readonly #models: readonly LayersModel[];
  readonly #settings: Settings;
  #copies: LayersModel[] = [];

  constructor(models: readonly LayersModel[], settings: Settings) {
    super();
    this.#models = models;
    this.#settings = settings;
  }

  override setModel(model: LayersModel): void {
    super.setModel(model);
    this.#copies = this.#models.map((each) => copyModel(each));
  }

  override loss(loss: tf.Scalar, outputs: tf.Tensor[], context: StepContext): tf.Scalar {
    const { burnIn, temperature } = this.#settings;
    if (context.step < burnIn) return loss;
    const weight = valueAt(this.#settings.weight, context, this.params);
    checkScheduled(OWNER, 'weight', weight);
    const answers = teacherLogits(this.#copies, context.batch.xs).map((rows, i) =>
      tf.tensor2d(rows, outputs[i]!.shape as [number, number]),
    );
    const terms = outputs.map((output, i) => {
      const own = toLogits(output, givesProbabilities(this.#models[i]!));
      const others = answers.filter((_, j) => j !== i);
      return tf.mean(softTargetDivergence(own, others, temperature));
    });
    return tf.add(loss, tf.mul(weight, tf.addN(terms)));
  }

  override afterStep({ step }: StepContext): void {
    const { burnIn, refresh } = this.#settings;
    const since = step + 1 - burnIn;
    if (since < 0 || since % refresh !== 0) return;
    this.#models.forEach((model, i) => {
      copyValues(model, this.#copies[i]!);
    });
  }

  override async state(): Promise<StateValue> {
    return (await Promise.all(this.#copies.map(readWeights))) as unknown as StateValue;
  }

  override restore(state: StateValue): void {
    (state as unknown as WeightValues[]).forEach((values, i) => {
      writeWeights(this.#copies[i]!, values);
    });
  }

  override leave(): void {
    for (const copy of this.#copies) copy.dispose();
    this.#copies = [];
  }
}
