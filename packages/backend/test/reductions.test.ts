import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { check, expectSame, on, values } from './helpers.ts';
import { expectAlike, read } from './special.ts';

const size = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 1, max: 6 }) },
  { weight: 1, arbitrary: fc.constantFrom(1, 17, 20, 33, 70, 131) },
);
const reductions = fc
  .array(size, { minLength: 1, maxLength: 5 })
  .filter((shape) => tf.util.sizeFromShape(shape) < 30_000)
  .chain((shape) =>
    fc.record({
      shape: fc.constant(shape),
      axes: fc.uniqueArray(fc.integer({ min: -shape.length, max: shape.length - 1 }), {
        selector: (axis) => (axis + shape.length) % shape.length,
        maxLength: shape.length,
      }),
      keepDims: fc.boolean(),
      seed: fc.nat(1000),
    }),
  );

test('sum and mean over any axes equal the cpu backend', () =>
  check(reductions, 200, ({ shape, axes, keepDims, seed }) =>
    expectSame(
      () => {
        const x = tf.tensor(values(shape, seed), shape);
        return [tf.sum(x, axes, keepDims), tf.mean(x, axes, keepDims)];
      },
      ['thimble', 'cpu'],
      1e-6,
    ),
  ));

test('int32 and bool sums over any axes are exact', () =>
  check(reductions, 100, ({ shape, axes, keepDims, seed }) =>
    expectAlike(() => {
      const x = tf.tensor(values(shape, seed, 1000), shape, 'int32');
      const flags = tf.greater(x, 0);
      return [tf.sum(x, axes, keepDims), tf.sum(flags, axes, keepDims)];
    }),
  ));

test('the mean of int32 is float32', () =>
  expectAlike(() => [
    tf.mean(tf.tensor2d([1, 2, 3, 8], [2, 2], 'int32'), 0),
    tf.mean(tf.tensor1d([1, 0, 1, 0], 'bool')),
  ]));

test('max and min over any axes equal the cpu backend, NaN included', () =>
  check(reductions, 200, ({ shape, axes, keepDims, seed }) =>
    expectAlike(() => {
      const data = values(shape, seed);
      if (seed % 2) data[seed % data.length] = Number.NaN;
      const x = tf.tensor(data, shape);
      return [tf.max(x, axes, keepDims), tf.min(x, axes, keepDims)];
    }),
  ));

test('a NaN in any place of a row is the maximum and the minimum', async () => {
  for (const length of [1, 2, 3, 4, 5, 7, 8, 9]) {
    for (let at = 0; at < length; at++) {
      const row = new Float32Array(length).fill(1);
      row[at] = Number.NaN;
      const [top, bottom] = await on('thimble', () => {
        const x = tf.tensor1d(row);
        return [tf.max(x), tf.min(x)];
      });
      expect([top?.data, bottom?.data]).toEqual([[Number.NaN], [Number.NaN]]);
    }
  }
});

test('long sums do not lose small terms, unlike stock wasm', async () => {
  const tenths = () => tf.mean(tf.fill([1_000_000], 0.1));
  expect((await on('thimble', tenths))[0]?.data[0]).toBeCloseTo(0.1, 7);
  expect((await on('wasm', tenths))[0]?.data[0]).toBeGreaterThan(0.1009);
  const ones = () => {
    const x = tf.ones([30_000_000]);
    return [tf.mean(x), tf.mean(tf.reshape(x, [3_000_000, 10]), 0)];
  };
  const [mean, columns] = await on('thimble', ones);
  expect([...(mean?.data ?? []), ...(columns?.data ?? [])]).toEqual(new Array(11).fill(1));
});

test('moments of a shifted distribution are right', async () => {
  const [mean, variance] = await on('thimble', () => {
    const x = tf.add(tf.tensor(values([200_000, 3], 5), [200_000, 3]), 10);
    const moments = tf.moments(x, 0);
    return [moments.mean, moments.variance];
  });
  for (let channel = 0; channel < 3; channel++) {
    const column = values([200_000, 3], 5)
      .filter((_, i) => i % 3 === channel)
      .map((v) => Math.fround(v + 10));
    const average = column.reduce((total, v) => total + v, 0) / column.length;
    const spread = column.reduce((total, v) => total + (v - average) ** 2, 0) / column.length;
    expect(mean?.data[channel]).toBeCloseTo(average, 5);
    expect(variance?.data[channel]).toBeCloseTo(spread, 5);
  }
});

test('over an empty axis: sum 0, mean NaN, product 1, maximum NaN, all true, any false', async () => {
  for (const [shape, axis, length] of [
    [[0], 0, 1],
    [[2, 0], 1, 2],
    [[0, 3], 0, 3],
    [[2, 0], 0, 0],
  ] as const) {
    const results = await read('thimble', () => {
      soil();
      const x = tf.tensor([], [...shape]);
      const flags = tf.tensor([], [...shape], 'bool');
      return [
        ...[tf.sum(x, axis), tf.mean(x, axis), tf.prod(x, axis), tf.max(x, axis), tf.min(x, axis)],
        ...[tf.all(flags, axis), tf.any(flags, axis), tf.sum(flags, axis)],
        tf.max(tf.tensor([], [...shape], 'int32'), axis),
      ];
    });
    expect(results.map(({ data }) => data)).toEqual(
      [0, Number.NaN, 1, Number.NaN, Number.NaN, 1, 0, 0, 0].map((v) => new Array(length).fill(v)),
    );
  }
});

/** Fills the memory that the next allocations get with something other than zeros. */
function soil(): void {
  tf.dispose([1, 2, 3].map((n) => tf.fill([n], 7)));
}
