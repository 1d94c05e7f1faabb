import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { type FitCallback, fit } from '@thimble/core';
import { expectNoLeaks, useCpu } from '@thimble/testing';
import { expect, it } from 'vitest';

useCpu();

/** y = w x with w = 1; the loss (w x - y)^2 at x = 2, y = 0 is 4, its gradient 8. */
function line(): tfl.Sequential {
  return tfl.sequential({
    layers: [
      tfl.layers.dense({
        units: 1,
        useBias: false,
        inputShape: [1],
        weights: [tf.tensor2d([[1]])],
      }),
    ],
  });
}
const data = () => ({ xs: tf.tensor2d([[2]]), ys: tf.tensor2d([[0]]) });
const options = { loss: 'meanSquaredError', progress: false } as const;
const weight = (model: tfl.Sequential) => model.getWeights()[0]!.dataSync()[0];

/** Runs the step so many times and adds up. */
const times = (n: number): FitCallback => ({
  step: (run) => {
    const results = Array.from({ length: n }, run);
    return {
      ...results[0]!,
      loss: tf.addN(results.map(({ loss }) => loss)) as tf.Scalar,
      gradients: [tf.addN(results.map(({ gradients }) => gradients[0]!))],
    };
  },
});

it('runs a step as often as the hook wants, hooks around hooks', async () => {
  const model = line();
  const optimizer = tf.train.sgd(0.01);
  const { logs } = await fit(model, data(), {
    ...options,
    optimizer,
    callbacks: [times(2), { onBatchEnd() {} }, times(3)],
  });
  expect(logs.loss).toBeAllClose([6 * 4]);
  expect(weight(model)).toBeCloseTo(1 - 0.01 * 6 * 8, 5);
});

it('leaves nothing behind', async () => {
  const model = line();
  await expectNoLeaks(async () => {
    const examples = data();
    await fit(model, examples, { ...options, callbacks: [times(2)] });
    tf.dispose(examples);
  });
});
