import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { check, expectGradient, on, values } from './helpers.ts';
import { expectAlike } from './special.ts';

const ODD = [0, -0, 1, -1, 2.5, -2.5, 7, 1e-8, -1e-8, 1e-40, 1e10, -1e10];
const NOT_FINITE = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];

/** Odd numbers in every position relative to the vectors of four. */
const rows = fc.array(fc.constantFrom(...ODD, ...NOT_FINITE), { minLength: 1, maxLength: 19 });

test('activations and limits equal the cpu backend on all kinds of numbers, NaN kept', () =>
  check(rows, 100, (row) =>
    expectAlike(() => {
      const x = tf.tensor1d(row);
      return [
        tf.relu(x),
        tf.relu6(x),
        tf.clipByValue(x, -2, 1.5),
        tf.leakyRelu(x, 0.25),
        tf.step(x, 0.5),
        tf.sign(x),
        tf.abs(x),
        tf.log1p(tf.relu(x)),
      ];
    }, 1e-7),
  ));

test('relu6, clipByValue and maximum keep a NaN, which stock wasm loses', async () => {
  const compute = () => {
    const x = tf.tensor1d([Number.NaN, -1, 1, 9]);
    return [tf.relu6(x), tf.clipByValue(x, 0, 2), tf.maximum(0, x), tf.minimum(2, x)];
  };
  const lost = Number.NaN;
  expect((await on('thimble', compute)).map(({ data }) => data)).toEqual([
    [lost, 0, 1, 6],
    [lost, 0, 1, 2],
    [lost, 0, 1, 9],
    [lost, -1, 1, 2],
  ]);
  expect((await on('wasm', compute)).map(({ data }) => data[0])).toEqual([0, 0, 0, 2]);
});

test('sign and log1p of tiny numbers are not 0', async () => {
  const [signs, logs] = await on('thimble', () => [
    tf.sign(tf.tensor1d([1e-8, -1e-8, 0])),
    tf.log1p(tf.tensor1d([1e-8, 1e-3])),
  ]);
  expect(signs?.data).toEqual([1, -1, 0]);
  expect((logs?.data[0] as number) / 1e-8).toBeCloseTo(1, 6);
  expect((logs?.data[1] as number) / 0.0009995003330835331).toBeCloseTo(1, 6);
});

test('exp, log, tanh, softplus, selu and small powers equal the cpu backend on all kinds of numbers', () =>
  check(rows, 100, (row) =>
    expectAlike(() => {
      const x = tf.tensor1d(row);
      // cpu takes e^x - 1 for selu, and e^x for softplus of small x, which cancels and stops at 1.2e-7.
      return [tf.exp(x), tf.log(x), tf.log1p(x), tf.tanh(x), tf.softplus(x), tf.selu(x)];
    }, 2e-7),
  ));

test('squares and first powers, of nothing too, and their gradients', () =>
  check(fc.tuple(rows, fc.constantFrom(1, 2, 3)), 60, ([row, exponent]) =>
    expectAlike(() => {
      const power = (x: tf.Tensor) => tf.pow(x, exponent);
      const x = tf.tensor1d(exponent === 3 ? row.filter(Number.isFinite) : row);
      const finite = tf.tensor1d(row.filter((value) => Math.abs(value) < 100));
      return [
        power(x),
        power(tf.zeros([0, 3])),
        tf.pow(x, tf.fill([1, 1, 1], exponent)),
        tf.grad(power)(finite),
        tf.grad((y) => tf.sum(tf.square(tf.grad(power)(y))))(finite),
      ];
    }, 1e-6),
  ));

const side = fc.constantFrom(1, 2, 3, 5);
const pairs = fc
  .array(fc.tuple(side, fc.constantFrom('both', 'a', 'b')), { maxLength: 4 })
  .chain((axes) =>
    fc.record({
      a: fc.constant(axes.map(([size, kind]) => (kind === 'b' ? 1 : size))),
      b: fc.constant(axes.map(([size, kind]) => (kind === 'a' ? 1 : size))),
      shorter: fc.nat(axes.length),
      dtype: fc.constantFrom('float32' as const, 'int32' as const, 'bool' as const),
      seed: fc.nat(1000),
    }),
  );

type Pair = typeof pairs extends fc.Arbitrary<infer T> ? T : never;

function operands({ a, b, shorter, dtype, seed }: Pair): [tf.Tensor, tf.Tensor] {
  const make = (shape: number[], from: number): tf.Tensor => {
    const data = values(shape, from, dtype === 'float32' ? undefined : 8);
    if (dtype === 'float32' && from % 3 === 0) data[from % data.length] = Number.NaN;
    if (dtype === 'float32' && from % 3 === 1) data[from % data.length] = Number.POSITIVE_INFINITY;
    return tf.tensor(dtype === 'bool' ? data.map((v) => Number(v > 0)) : data, shape, dtype);
  };
  const lead = b.findIndex((size) => size !== 1);
  const cut = Math.min(shorter, lead < 0 ? b.length : lead);
  return [make(a, seed), make(b.slice(cut), seed + 1)];
}

test('operations on two operands equal the cpu backend in all types and broadcasts', () =>
  check(pairs, 300, (pair) =>
    expectAlike(() => {
      const [a, b] = operands(pair);
      const run = (name: string) => tf.engine().runKernel(name, { a, b }) as tf.Tensor;
      const common = [tf.Maximum, tf.Minimum].map(run);
      if (pair.dtype === 'float32') return common;
      return [...common, ...[tf.Atan2, tf.FloorDiv, tf.Pow].map(run)];
    }),
  ));

test('prelu equals the cpu backend for every shape of alpha', () =>
  check(
    pairs.filter(({ a, b }) => b.every((size, i) => size === 1 || size === a[i])),
    150,
    (pair) =>
      expectAlike(() => {
        const [x, alpha] = operands({ ...pair, dtype: 'float32' });
        return tf.prelu(x, tf.where(tf.isFinite(alpha), alpha, 0.5));
      }),
  ));

test('the gradient of prelu with alpha per row agrees with finite differences', () =>
  expectGradient(
    (x, alpha) => tf.sum(tf.square(tf.prelu(x as tf.Tensor, alpha as tf.Tensor))) as tf.Scalar,
    [
      { shape: [2, 3, 4], data: values([2, 3, 4], 3).map((v) => v + Math.sign(v) * 0.1) },
      { shape: [3, 1], data: values([3, 1], 4) },
    ],
  ));
