import * as tf from '@tensorflow/tfjs-core';
import { type StateValue, type StepContext, ThimbleCallback } from '@thimble/core';
import { describeCallbackContract, useCpu } from '@thimble/testing';

useCpu();

/** Multiplies the gradients by a number that changes with every step: state that a resume must keep. */
class Fading extends ThimbleCallback {
  #factor = 1;

  override gradients(gradients: tf.Tensor[]): tf.Tensor[] {
    return gradients.map((gradient) => tf.mul(gradient, this.#factor));
  }

  override afterStep(_context: StepContext): void {
    this.#factor *= 0.9;
  }

  override state(): StateValue {
    return this.#factor;
  }

  override restore(state: StateValue): void {
    this.#factor = state as number;
  }
}

describeCallbackContract('a callback with state', {
  make: () => new Fading(),
  changesTraining: true,
});

describeCallbackContract('a callback that only watches', {
  make: () =>
    new (class extends ThimbleCallback {
      override afterStep(): void {}
    })(),
  changesTraining: false,
});
