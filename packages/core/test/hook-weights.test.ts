// Weights that a callback brings to be trained with the model's.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { fit, type StateValue, ThimbleCallback } from '@thimble/core';
import { classifier, describeCallbackContract, expectNoLeaks, useCpu } from '@thimble/testing';
import { expect, test } from 'vitest';

useCpu();

/** Multiplies the loss by a factor `exp(-s)` and adds s; s is trained. */
class Factor extends ThimbleCallback {
  own: tfl.LayerVariable[] = [];
  last = Number.NaN;
  left = 0;

  override setModel(model: tfl.LayersModel): void {
    super.setModel(model);
    this.own = [];
    if (this.insideFit) {
      tf.tidy(() => this.own.push(new tfl.LayerVariable(tf.scalar(0), 'float32', 'factor')));
    }
  }

  override weights(): tfl.LayerVariable[] {
    return this.own;
  }

  override loss(loss: tf.Scalar): tf.Scalar {
    const s = this.own[0]!.read();
    return tf.add(tf.mul(tf.exp(tf.neg(s)), loss), s);
  }

  override state(): StateValue {
    return this.own[0]!.read().dataSync().slice() as Float32Array;
  }

  override restore(state: StateValue): void {
    tf.tidy(() => {
      this.own[0]!.write(tf.scalar((state as Float32Array)[0]!));
    });
  }

  override leave(): void {
    this.left += 1;
    this.last = this.own[0]!.read().dataSync()[0]!;
    for (const weight of this.own) weight.dispose();
    this.own = [];
  }
}

describeCallbackContract('a callback with weights of its own', {
  make: () => new Factor(),
  changesTraining: true,
});

const data = { xs: tf.ones([4, 6]), ys: tf.oneHot([0, 1, 2, 0], 3) };
const loss = 'meanSquaredError';

test('one step of gradient descent on s: ds = 1 - loss', async () => {
  const callback = new Factor();
  const model = classifier();
  // Without dropout, so that the loss before the step is known.
  (model.layers[1] as unknown as { rate: number }).rate = 0;
  const before = tf.losses.meanSquaredError(data.ys, model.predict(data.xs) as tf.Tensor);
  const [mean] = before.dataSync();
  const weights = model.weights.length;
  await fit(model, data, {
    loss,
    optimizer: tf.train.sgd(0.1),
    callbacks: [callback],
    progress: false,
  });
  expect(callback.last).toBeCloseTo(-0.1 * (1 - mean!), 6);
  expect(model.weights).toHaveLength(weights);
});

test('it takes its leave once, however training ends, and its slots go with it', async () => {
  const optimizer = tf.train.adam();
  const model = classifier();
  await expectNoLeaks(async () => {
    const callback = new Factor();
    const fails = {
      onBatchEnd(): void {
        throw new Error('no');
      },
    };
    const training = fit(model, data, {
      loss,
      optimizer,
      callbacks: [callback, fails],
      progress: false,
    });
    await expect(training).rejects.toThrow('no');
    expect(callback.left).toBe(1);
  });
});
