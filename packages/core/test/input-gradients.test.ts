import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { inputGradients } from '@thimble/core';
import { expectNoLeaks, useCpu } from '@thimble/testing';
import { expect, test } from 'vitest';

useCpu();

/** y = 3 * relu(x1 - 2 x2) + dropout that inference leaves out. */
function model(): tfl.Sequential {
  return tfl.sequential({
    layers: [
      tfl.layers.dense({
        units: 1,
        useBias: false,
        activation: 'relu',
        inputShape: [2],
        weights: [tf.tensor2d([[1], [-2]])],
      }),
      tfl.layers.dropout({ rate: 0.9 }),
      tfl.layers.dense({ units: 1, useBias: false, weights: [tf.tensor2d([[3]])] }),
    ],
  });
}

test('each example has the gradient of its own term', () => {
  const network = model();
  const xs = tf.tensor2d([
    [5, 1], // relu(3): dy/dx = [3, -6], and of y^2 = 81: 2 * 9 * [3, -6]
    [1, 1], // relu(-1): nothing passes
  ]);
  const [plain] = inputGradients(network, [xs], ([y]) => tf.sum(y!));
  expect(Array.from(plain!.dataSync())).toEqual([3, -6, 0, 0].map((x) => x + 0));
  const [squared] = inputGradients(network, [xs], ([y]) => tf.sum(tf.square(y!)));
  expect(Array.from(squared!.dataSync()).slice(0, 2)).toEqual([54, -108]);
  expect(xs.isDisposed).toBe(false);
});

test('leaves no tensor, also when the score throws', async () => {
  const network = model();
  const xs = tf.ones([3, 2]);
  await expectNoLeaks(() => tf.dispose(inputGradients(network, [xs], ([y]) => tf.sum(y!))));
  await expectNoLeaks(() =>
    expect(() =>
      inputGradients(network, [xs], () => {
        throw new Error('no score');
      }),
    ).toThrow('no score'),
  );
});
