import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import { ShapeError } from '@thimble/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { check, values } from './helpers.ts';
import { expectAlike } from './special.ts';

const side = fc.integer({ min: 1, max: 4 });
const lookups = fc.record({
  axes: fc.array(side, { minLength: 1, maxLength: 2 }),
  slice: fc.array(side, { maxLength: 2 }),
  count: fc.integer({ min: 1, max: 6 }),
  dtype: fc.constantFrom('float32' as const, 'int32' as const),
  seed: fc.nat(1000),
});

test('gatherND, scatterND and tensorScatterUpdate equal the cpu backend', () =>
  check(lookups, 120, ({ axes, slice, count, dtype, seed }) =>
    expectAlike(() => {
      const shape = [...axes, ...slice];
      const make = (own: number[], from: number) => tf.tensor(values(own, from, 20), own, dtype);
      const places = values([count, axes.length], seed).map((v, i) =>
        Math.floor(Math.abs(v) * 0.999 * (axes[i % axes.length] as number)),
      );
      const indices = tf.tensor2d(places, [count, axes.length], 'int32');
      const first = tf.slice(indices, [0, 0], [1, -1]);
      const updates = make([count, ...slice], seed + 1);
      return [
        tf.gatherND(make(shape, seed), indices),
        tf.scatterND(indices, updates, shape),
        tf.tensorScatterUpdate(make(shape, seed), first, tf.slice(updates, 0, 1)),
      ];
    }),
  ));

test('an index outside the tensor is refused by name, where stock writes beyond it', async () => {
  await tf.setBackend('thimble');
  tf.tidy(() => {
    const x = tf.ones([3, 4]);
    const images = tf.ones<tf.Rank.R4>([2, 4, 4, 1]);
    const at = (...rows: number[][]) => tf.tensor2d(rows, undefined, 'int32');
    expect(() => tf.gatherND(x, at([0, 1], [2, 4]))).toThrow(ShapeError);
    expect(() => tf.gatherND(x, at([-1, 0]))).toThrow(
      'GatherNd: index -1 is outside axis 0 of a tensor of shape [3,4].',
    );
    expect(() => tf.scatterND(at([0], [900]), tf.ones([2, 2]), [4, 2])).toThrow(/index 900/);
    expect(() => tf.tensorScatterUpdate(x, at([3]), tf.ones([1, 4]))).toThrow(/index 3/);
    const line = tf.tensor1d([1, 30_000], 'int32');
    expect(() => tf.sparseToDense(line, tf.ones([2]), [5], 0)).toThrow(/index 30000/);
    const box = tf.tensor2d([[0, 0, 1, 1]]);
    expect(() => tf.image.cropAndResize(images, box, [2], [2, 2])).toThrow(/index 2/);
  });
});

test('sparseToDense equals the cpu backend', () =>
  expectAlike(() => [
    tf.sparseToDense(tf.tensor1d([4, 1], 'int32'), tf.tensor1d([5, 6]), [5], 2),
    tf.sparseToDense(tf.tensor2d([[0, 1]], [1, 2], 'int32'), tf.tensor1d([7]), [2, 2], -1),
  ]));

const masks = fc.record({
  shape: fc.array(side, { minLength: 1, maxLength: 3 }),
  wide: fc.boolean(),
  dtype: fc.constantFrom('float32' as const, 'int32' as const, 'bool' as const),
  seed: fc.nat(1000),
});

test('where equals the cpu backend in all types, the condition broadcast', () =>
  check(masks, 120, ({ shape, wide, dtype, seed }) =>
    expectAlike(() => {
      const flags = (own: number[], from: number) => values(own, from).map((v) => Number(v > 0));
      const operand = (from: number) =>
        tf.tensor(dtype === 'bool' ? flags(shape, from) : values(shape, from, 9), shape, dtype);
      const own = wide ? shape : shape.slice(1);
      const condition = tf.tensor(flags(own, seed), own, 'bool');
      return tf.where(condition, operand(seed + 1), operand(seed + 2));
    }),
  ));
