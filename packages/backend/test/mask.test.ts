// The product with a mask: as that of mul, with its gradients, whatever the mask holds.
import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { check, on, values } from './helpers.ts';

const masked = (x: tf.Tensor, mask: tf.Tensor): tf.Tensor =>
  tf.engine().runKernel('ThimbleMask', { x, mask });

const cases = fc.record({
  shape: fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 3 }),
  seed: fc.nat(1000),
  soft: fc.boolean(),
});

test('is a product with the mask, once and twice differentiated, where the mask is of 0 and 1 or of any values', () =>
  check(cases, 100, async ({ shape, seed, soft }) => {
    const outcomes = (product: typeof masked) => {
      const x = tf.tensor(values(shape, seed), shape);
      const any = tf.tensor(values(shape, seed + 1), shape);
      const mask = soft ? any : tf.cast(tf.greater(any, 0), 'float32');
      const f = (at: tf.Tensor, m: tf.Tensor) => tf.square(product(at, m));
      const once = tf.grad((at) => f(at, mask));
      return [product(x, mask), ...tf.grads(f)([x, mask]), tf.grad((at) => tf.square(once(at)))(x)];
    };
    const [ours, stock] = [
      await on('thimble', () => outcomes(masked)),
      await on('cpu', () => outcomes((a, b) => tf.mul(a, b))),
    ];
    for (const [i, { shape: made, data }] of ours.entries()) {
      expect(made).toEqual(stock[i]!.shape);
      for (const [j, value] of data.entries()) expect(value).toBeCloseTo(stock[i]!.data[j]!, 4);
    }
  }));

test('a mask that is set anew is seen at once, and so is a weight that an optimizer changes in place', async () => {
  await tf.setBackend('thimble');
  const w = tf.variable(tf.ones([256]));
  const mask = tf.variable(tf.ones([256]), false);
  const optimizer = tf.train.sgd(1);
  const sum = () => tf.tidy(() => tf.sum(masked(w, mask)).dataSync()[0]);
  expect(sum()).toBe(256);
  tf.tidy(() => mask.assign(tf.cast(tf.less(tf.range(0, 256), 56), 'float32')));
  expect(sum()).toBe(56);
  tf.tidy(() => void optimizer.minimize(() => tf.neg(tf.sum(masked(w, mask)))));
  expect(sum()).toBe(112);
  expect(tf.tidy(() => tf.sum(w).dataSync()[0])).toBe(312);
  tf.dispose([w, mask]);
});

test('hides a NaN', async () => {
  const [kept] = await on('thimble', () =>
    masked(tf.tensor1d([1, Number.NaN, 3]), tf.tensor1d([1, 0, 0])),
  );
  expect(kept!.data).toEqual([1, 0, 0]);
});
