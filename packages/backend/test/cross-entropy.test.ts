// categoricalCrossentropy of a compiled model in one op: the stock loss, its gradient, and its limits.
import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { beforeAll, expect, test } from 'vitest';
import { expectClose, expectGradient, values } from './helpers.ts';

type Loss = (target: tf.Tensor, output: tf.Tensor) => tf.Tensor;

beforeAll(async () => {
  tf.env().set('IS_TEST', false); // it reports false leaks where fused ops are differentiated
  await tf.setBackend('thimble');
});

/** The loss of a compiled model. */
function compiled(): Loss {
  const model = tfl.sequential({
    layers: [tfl.layers.reshape({ targetShape: [3], inputShape: [3] })],
  });
  model.compile({ optimizer: 'sgd', loss: 'categoricalCrossentropy' });
  const { lossFunctions } = (model as unknown as { model: { lossFunctions: Loss[] } }).model;
  return lossFunctions[0]!;
}

const positive = (shape: number[], seed: number) => values(shape, seed).map((v) => v * 0.4 + 0.5);

test.each([[[4, 3]], [[1, 10]], [[2, 3, 5]], [[0, 4]]])('shape %j', async (shape) => {
  const loss = compiled();
  const gradient = () => {
    const target = tf.tensor(positive(shape, 2), shape);
    const f = (q: tf.Tensor) => tf.mean(loss(target, q)) as tf.Scalar;
    const q = tf.tensor(positive(shape, 1), shape);
    return [loss(target, q), tf.grad(f)(q)];
  };
  const read = async (backend: string) => {
    await tf.setBackend(backend);
    return tf.tidy(() => gradient().map((t) => ({ shape: t.shape, data: [...t.dataSync()] })));
  };
  const [ours, stock] = [await read('thimble'), await read('wasm')];
  ours.forEach(({ shape: found, data }, i) => {
    expect(found).toEqual(stock[i]!.shape);
    if (data.length > 0) expectClose(data, stock[i]!.data, 1e-5);
  });
  await tf.setBackend('thimble');
});

test('finite differences', async () => {
  const loss = compiled();
  const target = tf.tensor2d([0, 1, 0, 0.5, 0.25, 0.25], [2, 3]);
  await expectGradient(
    (q) => tf.sum(loss(target, q!)) as tf.Scalar,
    [{ shape: [2, 3], data: positive([2, 3], 5) }],
  );
});

test('is -ln of the probability of the class; sure and wrong is cut at 1e-7', () => {
  const loss = compiled();
  const [known, wrong] = tf.tidy(() => [
    ...loss(
      tf.tensor2d([0, 1, 0, 1], [2, 2]),
      tf.tensor2d([3, 1, 1, 0], [2, 2]), // rows are made to sum to 1
    ).dataSync(),
  ]) as unknown as [number, number];
  expect(known).toBeCloseTo(Math.log(4), 5);
  expect(wrong).toBeCloseTo(-Math.log(1e-7), 3);
});

test('a NaN in the output is not lost', () => {
  const loss = compiled();
  const value = tf.tidy(
    () => loss(tf.tensor2d([0, 1], [1, 2]), tf.tensor2d([Number.NaN, 1], [1, 2])).dataSync()[0],
  );
  expect(value).toBeNaN();
});

test('the gradient of the gradient takes the stock ops', () => {
  const loss = compiled();
  const target = tf.tensor2d([0, 1], [1, 2]);
  const f = (q: tf.Tensor) => tf.sum(loss(target, q)) as tf.Scalar;
  const squared = (q: tf.Tensor) => tf.sum(tf.square(tf.grad(f)(q))) as tf.Scalar;
  // f = ln(a + b) - ln b; at a = b = 1 its slopes are 1/2 and -1/2, its second derivatives -1/4, -1/4, 3/4.
  const [da, db] = tf.tidy(() => [
    ...tf
      .grad(squared)(tf.tensor2d([1, 1], [1, 2]))
      .dataSync(),
  ]) as [number, number];
  expectClose(
    [da, db],
    [-0.25 + -0.25 * -1 - 0.0, -1].map((v, i) => (i === 0 ? 0 : v)),
    1e-3,
  );
});
