// Gates that are open at random, or always, whatever the network has learned.
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions, checkRange } from '@thimble/base';
import { type StepContext, ThimbleCallback } from '@thimble/core';
import { requireGates } from './gate-usage.ts';
import { tossing, watchGates } from './gates.ts';

/** Options of {@link randomGates}. */
export interface RandomGatesOptions {
  /** Probability with which each gate is open, from 0 to 1; default 0.8. 1: all are. */
  keep?: number;
}

/**
 * Opens every gate with a fixed probability in training, anew for every sample and step, and leaves the gates
 * themselves alone (stochastic depth, without the paper's scaling and with one probability for all). A network that
 * has learned in this way works with any of its blocks left out: {@link blockDrop} needs such a beginning, as a network
 * of a few blocks that were always there fails without one, and nothing is ever worth dropping. With `keep: 1` the
 * network learns with all gates open, from which {@link gateCost} goes on. Works in Thimble's `fit` only.
 *
 * Paper: Huang, Sun, Liu, Sedra, Weinberger, "Deep Networks with Stochastic Depth", 2016, section 3.
 *
 * @throws {OptionError} for a probability out of range; {NoMatchError} in the first step, for a model without gates.
 * @example
 * const gated = tfl.sequential({ layers: [
 *   gatedBlock({ layers: [tfl.layers.dense({ units: 784 })], inputShape: [784] }),
 *   tfl.layers.dense({ units: 10, activation: 'softmax' }),
 * ] });
 * const flat = { xs: tf.reshape(images, [-1, 784]), ys: labels };
 * const callbacks = [randomGates({ keep: 0.8 })];
 * await fit(gated, flat, { epochs: 1, loss: 'categoricalCrossentropy', callbacks });
 */
export function randomGates(options: RandomGatesOptions = {}): ThimbleCallback {
  checkOptions('randomGates', options, ['keep']);
  const { keep = 0.8 } = options;
  checkRange('randomGates', 'keep', keep, 0, 1);
  return new RandomGates(keep);
}

class RandomGates extends ThimbleCallback {
  readonly #keep: number;

  constructor(keep: number) {
    super();
    this.#keep = keep;
  }

  override forward(run: () => tf.Tensor[], context: StepContext): tf.Tensor[] {
    const toss = tossing(context);
    let gated = false;
    const outputs = watchGates(({ logits, gates, macs }) => {
      gated ||= macs !== undefined;
      if (!logits) return undefined; // another layer has decided
      if (this.#keep === 1) return tf.onesLike(gates);
      return tf.cast(tf.less(toss(gates.shape), this.#keep), 'float32');
    }, run);
    if (!gated) requireGates('randomGates', []);
    return outputs;
  }
}
