// Ops that take indices.
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { type Case, define } from '../case.ts';
import { fixed, floats, type Input, ints, one, seed, shapes, typed, upTo } from '../data.ts';

const gathers = fc.record({
  batch: fc.array(upTo(3), { maxLength: 2 }),
  before: fc.array(upTo(3), { maxLength: 1 }),
  size: upTo(6),
  after: fc.array(upTo(4), { maxLength: 2 }),
  picked: fc.array(one(1, 2, 5), { maxLength: 2 }),
  fromEnd: fc.boolean(),
  seed,
});

const places = fc.record({
  axes: fc.array(upTo(4), { minLength: 1, maxLength: 3 }),
  slice: fc.array(upTo(4), { maxLength: 2 }),
  count: fc.array(upTo(4), { minLength: 1, maxLength: 2 }),
  dtype: one('float32', 'int32'),
  seed,
});
type Places = { axes: number[]; count: number[]; seed: number };

/** Index vectors into `axes`. */
function indices({ axes, count, seed }: Places): Input {
  const shape = [...count, axes.length];
  const any = ints(shape, seed + 9, 0, 1000);
  return { ...any, data: Array.from(any.data, (v, i) => v % (axes[i % axes.length] as number)) };
}

export const indexedCases: readonly Case[] = [
  define(
    'gather',
    // tfjs knows tensors up to rank 6.
    gathers.filter((c) => [c.batch, c.before, c.picked, c.after].flat().length <= 6),
    (c) => {
      const axis = c.batch.length + c.before.length;
      const shape = [...c.batch, ...c.before, c.size, ...c.after];
      return {
        inputs: [floats(shape, c.seed), ints([...c.batch, ...c.picked], c.seed + 1, 0, c.size)],
        run: (x: tf.Tensor, at: tf.Tensor1D) =>
          tf.gather(x, at, c.fromEnd ? axis - shape.length : axis, c.batch.length),
      };
    },
    { gradient: 'slopes' },
  ),
  define(
    'gather of int32',
    fc.record({ shape: shapes(1, 3), picked: shapes(1, 2), seed }),
    ({ shape, picked, seed }) => ({
      inputs: [ints(shape, seed, -99, 99), ints(picked, seed + 1, 0, shape[0] as number)],
      run: (x: tf.Tensor, at: tf.Tensor1D) => tf.gather(x, at),
    }),
  ),
  define(
    'embedding: gather of rows, many times the same',
    fc.record({ rows: upTo(6), width: upTo(9), count: upTo(40), seed }),
    (c) => ({
      inputs: [floats([c.rows, c.width], c.seed), ints([c.count], c.seed + 1, 0, c.rows)],
      run: (table: tf.Tensor2D, ids: tf.Tensor1D) => tf.gather(table, ids),
    }),
  ),
  define(
    'gatherND',
    places,
    (c) => ({
      inputs: [typed([...c.axes, ...c.slice], c.seed, c.dtype), indices(c)],
      run: (x: tf.Tensor, at: tf.Tensor) => tf.gatherND(x, at),
    }),
    { gradient: 'slopes' },
  ),
  define(
    'scatterND',
    places,
    (c) => ({
      inputs: [indices(c), typed([...c.count, ...c.slice], c.seed, c.dtype)],
      run: (at: tf.Tensor, updates: tf.Tensor) =>
        tf.scatterND(at, updates, [...c.axes, ...c.slice] as [number]),
    }),
    { gradient: 'slopes' },
  ),
  define('tensorScatterUpdate', places, (c) => {
    const one = { ...c, count: [1] };
    return {
      inputs: [
        typed([...c.axes, ...c.slice], c.seed, c.dtype),
        indices(one),
        typed([1, ...c.slice], c.seed + 1, c.dtype),
      ].map(fixed),
      run: (x: tf.Tensor, at: tf.Tensor, updates: tf.Tensor) =>
        tf.tensorScatterUpdate(x, at, updates),
    };
  }),
  define('sparseToDense', fc.record({ size: upTo(20), count: upTo(5), seed }), (c) => ({
    inputs: [
      {
        ...ints([c.count], 0, 0, 1),
        data: Array.from({ length: c.count }, (_, i) => i),
        shape: [c.count],
      },
      fixed(floats([c.count], c.seed)),
    ],
    run: (at: tf.Tensor1D, values: tf.Tensor1D) => tf.sparseToDense(at, values, [c.size + 5], 0.5),
  })),
  define(
    'unsortedSegmentSum',
    fc.record({ shape: shapes(1, 3), segments: upTo(5), seed }),
    ({ shape, segments, seed }) => ({
      inputs: [floats(shape, seed), ints([shape[0] as number], seed + 1, -1, segments)],
      run: (x: tf.Tensor, ids: tf.Tensor1D) => tf.unsortedSegmentSum(x, ids, segments),
    }),
  ),
  define('oneHot', fc.record({ shape: shapes(0, 2, 0), depth: one(2, 3, 7), seed }), (c) => ({
    inputs: [ints(c.shape, c.seed, -1, c.depth + 1)],
    run: (at: tf.Tensor) => [tf.oneHot(at, c.depth), tf.oneHot(at, c.depth, 3, -1)],
  })),
  define('oneHot of float32', fc.record({ depth: one(2, 3, 7), seed }), (c) => ({
    inputs: [ints([3], c.seed, -1, c.depth + 1)],
    run: (at: tf.Tensor) => tf.oneHot(at, c.depth, 0.9, 0.1, 'float32'),
  })),
  define('unique', fc.record({ count: upTo(12), seed }), (c) => ({
    inputs: [ints([c.count], c.seed, 0, 5)],
    run: (x: tf.Tensor1D) => {
      const { values, indices } = tf.unique(x);
      return [values, indices];
    },
  })),
  define('searchSorted', fc.record({ count: upTo(9), wanted: upTo(5), seed }), (c) => ({
    inputs: [
      {
        ...fixed(floats([c.count], c.seed)),
        data: Array.from({ length: c.count }, (_, i) => i / 4),
      },
      fixed(floats([c.wanted], c.seed)),
    ],
    run: (sorted: tf.Tensor1D, x: tf.Tensor1D) => [
      tf.lowerBound(sorted, x),
      tf.upperBound(sorted, x),
    ],
  })),
];
