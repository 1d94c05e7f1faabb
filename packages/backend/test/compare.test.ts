// Comparisons, logic and choices, and the gradients made of them: every type, broadcast and kind of number.
import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { fill, type Kind, one, pairs, seed, sizeOf, typed } from './differential/data.ts';
import { check, expectGradient, expectSame, on, registerChainedOps, values } from './helpers.ts';
import { expectAlike } from './special.ts';

beforeAll(registerChainedOps); // cpu's gradients need them

/** As the shared pairs, with axes as long as a vector of bytes and longer, and empty ones, which tfjs cannot broadcast. */
const long = fc
  .record({ pairs, inner: one(1, 4, 15, 16, 17, 70, 0), whole: one('both', 'a', 'b') })
  .filter(({ inner, whole }) => inner > 0 || whole === 'both')
  .map(({ pairs: { a, b, seed }, inner, whole }) => ({
    a: [...a, whole === 'b' ? 1 : inner],
    b: [...b, whole === 'a' ? 1 : inner],
    seed,
  }));

const COMPARISONS = [tf.equal, tf.notEqual, tf.less, tf.greater, tf.lessEqual, tf.greaterEqual];

test('comparisons equal the cpu backend in all types and broadcasts', () =>
  check(
    fc.record({
      c: long,
      dtype: one('float32', 'float32', 'int32', 'bool'),
      kind: one<Kind>('ties', 'special'),
    }),
    200,
    ({ c: { a, b, seed }, dtype, kind }) =>
      expectAlike(() => {
        const [x, y] = [typed(a, seed, dtype, kind), typed(b, seed + 1, dtype, kind)].map((p) =>
          tf.tensor(p.data as Float32Array, p.shape, dtype),
        ) as [tf.Tensor, tf.Tensor];
        return COMPARISONS.map((compare) => compare(x, y));
      }),
  ));

const flags = (shape: number[], from: number) =>
  tf.tensor(
    values(shape, from).map((value) => Number(value > 0)),
    shape,
    'bool',
  );

test('and, or and not equal the cpu backend in all broadcasts', () =>
  check(long, 200, ({ a, b, seed }) =>
    expectAlike(() => {
      const [x, y] = [flags(a, seed), flags(b, seed + 1)];
      return [tf.logicalAnd(x, y), tf.logicalOr(x, y), tf.logicalXor(x, y), tf.logicalNot(x)];
    }),
  ));

test('where equals the cpu backend in all types and broadcasts', () =>
  check(
    fc.record({ c: long, dtype: one('float32', 'int32', 'bool'), seed }),
    150,
    ({ c, dtype, seed }) =>
      expectAlike(() => {
        const shape = tf.broadcast_util.assertAndGetBroadcastShape(c.a, c.b);
        const [t, e] = [typed(c.b, c.seed, dtype, 'special'), typed(shape, seed, dtype)].map((p) =>
          tf.tensor(p.data as Float32Array, p.shape, dtype),
        ) as [tf.Tensor, tf.Tensor];
        return tf.where(flags(c.a, c.seed), t, e);
      }),
  ));

test('NaN is unequal to all, and neither smaller nor larger', async () => {
  const [equal, unequal, less, more] = await on('thimble', () => {
    const x = tf.tensor1d([Number.NaN, 1]);
    const y = tf.tensor1d([Number.NaN, Number.NaN]);
    return [tf.equal(x, y), tf.notEqual(x, y), tf.lessEqual(x, y), tf.greaterEqual(x, y)];
  });
  expect([equal, unequal, less, more].map((found) => found?.data)).toEqual([
    [0, 0],
    [1, 1],
    [0, 0],
    [0, 0],
  ]);
});

const UNARY: Record<string, (x: tf.Tensor) => tf.Tensor> = {
  relu6: (x) => tf.relu6(tf.mul(x, 8)),
  leakyRelu: (x) => tf.leakyRelu(x, 0.3),
  max: (x) => tf.max(x, -1),
  min: (x) => tf.min(x, 0),
  maximum: (x) => tf.maximum(x, tf.reverse(x, 1)),
};

test.each(Object.entries(UNARY))('the gradient of %s, once and twice', async (_, f) => {
  const shape = [5, 37];
  const data = values(shape, 3);
  const squared = (x: tf.Tensor) => tf.sum(tf.square(f(x))) as tf.Scalar;
  const slope = tf.grad(squared);
  await expectSame(() => slope(tf.tensor(data, shape)));
  // cpu cannot derive it once more, for want of a gradient of comparisons.
  await expectGradient((x) => tf.sum(tf.square(slope(x!))) as tf.Scalar, [{ shape, data }], {
    step: 1e-3,
    tolerance: 1e-2,
  });
});

test('the gradients of relu6 and leakyRelu equal the cpu backend at corners, of NaN and of nothing', () =>
  check(
    fc.record({
      shape: one<number[]>([0], [3, 0], [1], [19], [4, 9]),
      seed,
      kind: one<Kind>('special'),
    }),
    60,
    ({ shape, seed, kind }) =>
      expectAlike(() => {
        const odd = fill(shape, seed, kind).map((v, i) => (i % 4 === 1 ? 6 : v));
        const [x, dy] = [tf.tensor(odd, shape), tf.tensor(values(shape, seed + 1), shape)];
        expect(x.size).toBe(sizeOf(shape));
        const leaky = (z: tf.Tensor) => tf.leakyRelu(z, 0.3);
        return [tf.grad(tf.relu6)(x, dy), tf.grad(leaky)(x, dy)];
      }, 1e-6),
  ));
