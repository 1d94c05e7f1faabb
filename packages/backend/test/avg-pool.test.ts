import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { check, expectGradient, expectSame, on, values } from './helpers.ts';

const pools = fc.record({
  batch: fc.constantFrom(1, 3),
  height: fc.integer({ min: 4, max: 8 }),
  width: fc.integer({ min: 4, max: 8 }),
  channels: fc.constantFrom(1, 2, 5),
  poolHeight: fc.integer({ min: 1, max: 4 }),
  poolWidth: fc.integer({ min: 1, max: 4 }),
  strideHeight: fc.integer({ min: 1, max: 3 }),
  strideWidth: fc.integer({ min: 1, max: 3 }),
  seed: fc.nat(1000),
});

test('avgPool without padding and its gradient equal the cpu backend', () =>
  check(pools, 80, (c) =>
    expectSame(() => {
      const shape = [c.batch, c.height, c.width, c.channels] as [number, number, number, number];
      const pool = (x: tf.Tensor) =>
        tf.avgPool(
          x as tf.Tensor4D,
          [c.poolHeight, c.poolWidth],
          [c.strideHeight, c.strideWidth],
          'valid',
        );
      const x = tf.tensor4d(values(shape, c.seed), shape);
      const y = pool(x);
      return [y, tf.grad(pool)(x, tf.tensor(values(y.shape, 9), y.shape))];
    }),
  ));

test('with padding the gradient divides by the values in the window, as the forward pass does', async () => {
  // x = [a, b], pool 2, stride 1, 'same': y = [(a + b) / 2, b], so dy/da = [.5, 0] and dy/db = [.5, 1].
  const [gradient] = await on('thimble', () =>
    tf.grad((x) => tf.avgPool(x as tf.Tensor4D, 2, 1, 'same'))(tf.ones([1, 1, 2, 1])),
  );
  expect(gradient?.data).toEqual([0.5, 1.5]);
});

test("the gradient with 'same' agrees with finite differences", () =>
  check(pools, 12, (c) => {
    const shape = [c.batch, c.height, c.width, c.channels];
    return expectGradient(
      (x) => {
        const pool: [number, number] = [c.poolHeight, c.poolWidth];
        const strides: [number, number] = [c.strideHeight, c.strideWidth];
        const y = tf.avgPool(x as tf.Tensor4D, pool, strides, 'same');
        return tf.sum(tf.mul(y, tf.tensor(values(y.shape, 3), y.shape))) as tf.Scalar;
      },
      [{ shape, data: values(shape, c.seed) }],
    );
  }));

test("the gradients of pooling round as the forward pass does: 'ceil', 2x2 on 3x3", async () => {
  tf.env().set('IS_TEST', false);
  const x = () => tf.tensor4d([1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 3, 3, 1]);
  const [max, avg] = await on('thimble', () => [
    tf.grad((z) => tf.maxPool(z as tf.Tensor4D, 2, 2, 0, 'ceil'))(x()),
    tf.grad((z) => tf.avgPool(z as tf.Tensor4D, 2, 2, 0, 'ceil'))(x()),
  ]);
  expect(max!.data).toEqual([0, 0, 0, 0, 1, 1, 0, 1, 1]);
  expect(avg!.data).toEqual([0.25, 0.25, 0.5, 0.25, 0.25, 0.5, 0.5, 0.5, 1]);
});
