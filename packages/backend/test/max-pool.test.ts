import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { check, expectGradient, expectSame, on, values } from './helpers.ts';

const pools = fc
  .record({
    batch: fc.constantFrom(1, 1, 3),
    height: fc.integer({ min: 1, max: 8 }),
    width: fc.integer({ min: 1, max: 8 }),
    channels: fc.constantFrom(1, 2, 5),
    poolHeight: fc.integer({ min: 1, max: 4 }),
    poolWidth: fc.integer({ min: 1, max: 4 }),
    strideHeight: fc.integer({ min: 1, max: 3 }),
    strideWidth: fc.integer({ min: 1, max: 3 }),
    pad: fc.constantFrom('same' as const, 'valid' as const),
    levels: fc.constantFrom(undefined, 3),
    seed: fc.nat(1000),
  })
  .filter((c) => c.pad === 'same' || (c.height >= c.poolHeight && c.width >= c.poolWidth));

test('maxPool and its gradient equal the cpu backend, ties included', () =>
  check(pools, 150, (c) =>
    expectSame(() => {
      const shape = [c.batch, c.height, c.width, c.channels] as [number, number, number, number];
      const x = tf.tensor4d(values(shape, c.seed, c.levels), shape);
      const pool = (t: tf.Tensor4D) =>
        tf.maxPool(t, [c.poolHeight, c.poolWidth], [c.strideHeight, c.strideWidth], c.pad);
      const y = pool(x);
      return [
        y,
        tf.grad((t) => pool(t as tf.Tensor4D))(x, tf.tensor4d(values(y.shape, 9), y.shape)),
      ];
    }),
  ));

const gradientOf = (rows: number[][]) => () => {
  const x = tf.tensor4d(rows.flat(), [1, rows.length, rows[0]?.length ?? 0, 1]);
  return tf.grad((t) => tf.maxPool(t as tf.Tensor4D, 2, 2, 'valid'))(x);
};

test('a window of negative values gives its gradient to its maximum, unlike stock wasm', async () => {
  const compute = gradientOf([
    [-4, -2],
    [-3, -1],
  ]);
  expect((await on('thimble', compute))[0]?.data).toEqual([0, 0, 0, 1]);
  expect((await on('wasm', compute))[0]?.data).toEqual([1, 0, 0, 0]);
});

test('a window of zeros, as after a ReLU, gives its gradient to its own first element', async () => {
  const compute = gradientOf([
    [1, 2, 0, 0],
    [3, 4, 0, 0],
  ]);
  expect((await on('thimble', compute))[0]?.data).toEqual([0, 0, 1, 0, 0, 1, 0, 0]);
});

test('the gradient agrees with finite differences', () =>
  check(pools, 12, (c) => {
    const shape = [c.batch, c.height, c.width, c.channels];
    // Distinct values 0.1 apart in a shuffled order: a step of 0.01 never changes which one is largest.
    const order = values(shape, c.seed);
    const ranks = [...order.keys()].sort((i, j) => (order[i] as number) - (order[j] as number));
    const data = new Float32Array(order.length);
    for (const [rank, index] of ranks.entries()) data[index] = 0.1 * rank - 2;
    return expectGradient(
      (x) => {
        const y = tf.maxPool(
          x as tf.Tensor4D,
          [c.poolHeight, c.poolWidth],
          [c.strideHeight, c.strideWidth],
          c.pad,
        );
        return tf.sum(tf.mul(y, tf.tensor(values(y.shape, 3), y.shape))) as tf.Scalar;
      },
      [{ shape, data }],
    );
  }));
