// How many binary weights change their sign from step to step.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkOptions, NoMatchError } from '@thimble/base';
import { type Logs, parametrizedWeights, type StateValue, ThimbleCallback } from '@thimble/core';
import { isBinary } from './latent.ts';
import { binarySign } from './sign.ts';

/**
 * Reports the flip ratio of a network: the fraction of its binary weights that change their sign in a step,
 * averaged over the steps so far. A ratio that stays high tells of a learning rate (or gamma) that is too
 * high, one that is 0 of weights that are stuck.
 *
 * The average of an epoch is `flipRatio` in its logs, and in the history of `fit`. {@link FlipRatio.result}
 * tells it at any time.
 *
 * Compare: Helwegen et al., "Latent Weights Do Not Exist", 2019, section 5.1; `FlipRatio` of Larq, which
 * averages over all steps since the metric was reset.
 *
 * @throws {NoMatchError} when training begins, where the model has no binary weight; {OptionError} for options: it
 *   has none.
 * @example
 * const net = tfl.sequential({ layers: [
 *   tfl.layers.flatten({ inputShape: [28, 28, 1] }),
 *   binaryDense({ units: 10 }),
 * ] });
 * const { logs } = await fit(net, train, { loss: 'squaredHinge', callbacks: [flipRatio()] });
 * console.log(logs.flipRatio);
 */
export function flipRatio(options: Record<string, never> = {}): FlipRatio {
  checkOptions('flipRatio', options, []);
  return new FlipRatio();
}

/** The callback that {@link flipRatio} makes. */
export class FlipRatio extends ThimbleCallback {
  #variables: tf.Variable[] = [];
  #last: tf.Tensor[] = [];
  /** Flips of all weights since the epoch began. */
  #flips: tf.Scalar | undefined;
  #steps = 0;
  #size = 0;
  #ratio = 0;

  override setModel(model: LayersModel): void {
    super.setModel(model as Parameters<ThimbleCallback['setModel']>[0]);
    const weights = parametrizedWeights(model).map(({ variable }) => variable);
    this.#variables = [...new Set(weights)].filter(isBinary);
    this.#size = this.#variables.reduce((sum, { size }) => sum + size, 0);
  }

  override async onTrainBegin(): Promise<void> {
    if (this.#size === 0) {
      throw new NoMatchError(
        'flipRatio: the model has no binary weight: see binarized and xnorDense.',
      );
    }
    this.#forget();
    this.#last = this.#signs();
  }

  override async onEpochBegin(): Promise<void> {
    this.#flips?.dispose();
    this.#flips = undefined;
    this.#steps = 0;
    this.#ratio = 0;
  }

  override async onBatchEnd(): Promise<void> {
    const signs = this.#signs();
    const flips = tf.tidy(() => {
      const counts = signs.map((now, i) =>
        tf.sum(tf.cast(tf.notEqual(now, this.#last[i]!), 'float32')),
      );
      return tf.keep(tf.addN([...counts, ...(this.#flips ? [this.#flips] : [])])) as tf.Scalar;
    });
    tf.dispose(this.#last);
    this.#flips?.dispose();
    this.#last = signs;
    this.#flips = flips;
    this.#steps++;
  }

  override async onEpochEnd(_epoch: number, logs?: Logs): Promise<void> {
    if (logs) logs.flipRatio = this.result();
  }

  override async onTrainEnd(): Promise<void> {
    this.#ratio = this.result();
    this.#flips?.dispose();
    this.#flips = undefined;
    this.#forget();
  }

  /** The average over the steps of this epoch, after training those of the last; 0 before the first. */
  result(): number {
    return this.#flips ? this.#flips.dataSync()[0]! / (this.#steps * this.#size) : this.#ratio;
  }

  override state(): StateValue {
    return { flips: this.#flips ? this.#flips.dataSync()[0]! : 0, steps: this.#steps };
  }

  override restore(state: StateValue): void {
    const { flips, steps } = state as { flips: number; steps: number };
    this.#flips?.dispose();
    this.#flips = tf.keep(tf.scalar(flips));
    this.#steps = steps;
    tf.dispose(this.#last);
    this.#last = this.#signs();
  }

  #signs(): tf.Tensor[] {
    return this.#variables.map((variable) => tf.tidy(() => binarySign(variable)));
  }

  #forget(): void {
    tf.dispose(this.#last);
    this.#last = [];
  }
}
