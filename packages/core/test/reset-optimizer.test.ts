import * as tf from '@tensorflow/tfjs-core';
import { fit } from '@thimble/core';
import { classifier, snapshot, useCpu } from '@thimble/testing';
import { expect, it } from 'vitest';

useCpu();

const examples = () => ({
  xs: tf.randomNormal([8, 6], 0, 1, 'float32', 1),
  ys: tf.oneHot(tf.tensor1d([0, 1, 2, 0, 1, 2, 0, 1], 'int32'), 3),
});
const options = {
  batchSize: 8,
  loss: 'categoricalCrossentropyFromLogits',
  progress: false,
} as const;

it.each([
  ['adam', () => tf.train.adam(0.01)],
  ['adamax', () => tf.train.adamax(0.01)],
  ['momentum', () => tf.train.momentum(0.01, 0.9)],
  ['rmsprop', () => tf.train.rmsprop(0.01)],
  ['adagrad', () => tf.train.adagrad(0.01)],
])('an %s optimizer that is reset takes its next step as a new one does', async (_name, make) => {
  const used = make();
  const model = classifier();
  await fit(model, examples(), { ...options, optimizer: used, epochs: 3 });
  const twin = classifier();
  twin.setWeights(model.getWeights());
  let reset = 0;
  const callback = {
    gradients: (gradients: tf.Tensor[], context: { resetOptimizer(): void }) => {
      context.resetOptimizer();
      reset++;
      return gradients;
    },
  };
  await fit(model, examples(), { ...options, optimizer: used, callbacks: [callback] });
  await fit(twin, examples(), { ...options, optimizer: make() });
  expect(reset).toBe(1);
  expect(snapshot(model)).toEqual(snapshot(twin));
});
