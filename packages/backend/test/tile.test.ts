// Tiling, and the gradients of sums and means, which tile: runs that are copied, filled and written one by one.
import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { check, expectSame, on, values } from './helpers.ts';

const size = fc.oneof(fc.constantFrom(0, 1, 1, 2, 3), fc.integer({ min: 4, max: 40 }));
const tilings = fc
  .record({
    shape: fc.array(size, { minLength: 1, maxLength: 4 }),
    reps: fc.array(size, { minLength: 4, maxLength: 4 }),
    dtype: fc.constantFrom('float32' as const, 'int32' as const, 'bool' as const),
    seed: fc.nat(1000),
  })
  .map((given) => ({ ...given, reps: given.reps.slice(0, given.shape.length) }))
  .filter(({ shape, reps }) => [...shape, ...reps].reduce((n, each) => n * each, 1) < 50_000);

test('tile equals the cpu backend for every type, also of nothing and to nothing', () =>
  check(tilings, 200, ({ shape, reps, dtype, seed }) =>
    expectSame(() => tf.tile(tf.cast(tf.tensor(values(shape, seed), shape), dtype), reps)),
  ));

test('a matrix twice in both directions', async () => {
  const [tiled] = await on('thimble', () => tf.tile(tf.tensor2d([[1, 2, 3]]), [2, 2]));
  expect(tiled?.shape).toEqual([2, 6]);
  expect(tiled?.data).toEqual([1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3]);
});

const reductions = fc
  .record({
    shape: fc.array(fc.constantFrom(1, 2, 3, 5, 17), { minLength: 1, maxLength: 4 }),
    reduced: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
    mean: fc.boolean(),
    keep: fc.boolean(),
    seed: fc.nat(1000),
  })
  .map((given) => ({
    ...given,
    axes: given.shape.map((_, i) => i).filter((i) => given.reduced[i]),
  }));

test('the gradients of sum and mean give every value what its sum gets, once and twice', () =>
  check(reductions, 100, ({ shape, axes, mean, keep, seed }) =>
    expectSame(() => {
      const reduce = mean ? tf.mean : tf.sum;
      const f = (x: tf.Tensor) => tf.square(reduce(tf.square(x), axes, keep));
      const x = tf.tensor(values(shape, seed), shape);
      const once = tf.grad(f);
      return [once(x), tf.grad((at) => tf.square(once(at)))(x)];
    }),
  ));
