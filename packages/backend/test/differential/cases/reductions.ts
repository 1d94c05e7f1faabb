// What makes one value of many: reductions, norms, and what runs along an axis.
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { type Case, define } from '../case.ts';
import {
  dtype,
  fixed,
  flag,
  floats,
  type Input,
  type Kind,
  one,
  seed,
  shapes,
  shapesWithAxes,
  shapesWithAxis,
  typed,
} from '../data.ts';

type Reduce = (x: tf.Tensor, axes: number[], keepDims: boolean) => tf.Tensor | tf.Tensor[];
const kind = one<Kind>('plain', 'ties', 'negative', 'positive');

function reduction(name: string, run: Reduce, kinds = kind, least = 0, slopes = false): Case {
  return define(
    name,
    fc.record({ where: shapesWithAxes(5, least), kind: kinds }),
    ({ where: { shape, axes, keepDims, seed }, kind }) => ({
      inputs: [floats(shape, seed, kind)],
      run: (x: tf.Tensor) => run(x, axes, keepDims),
      gradient: !shape.includes(0) && kind !== 'special',
    }),
    slopes ? { gradient: 'slopes' } : {},
  );
}

function ofType(name: string, run: Reduce, types: fc.Arbitrary<Input['dtype']>): Case {
  return define(
    name,
    fc.record({ where: shapesWithAxes(4), dtype: types }),
    ({ where: { shape, axes, keepDims, seed }, dtype }) => ({
      inputs: [typed(shape, seed, dtype)],
      run: (x: tf.Tensor) => run(x, axes, keepDims),
      gradient: false,
    }),
  );
}

function along(
  name: string,
  run: (x: tf.Tensor, axis: number, flags: [boolean, boolean]) => tf.Tensor,
  gradient: 'cpu' | 'slopes' | 'none',
  kinds = kind,
): Case {
  return define(
    name,
    fc.record({ where: shapesWithAxis(5), flags: fc.tuple(flag, flag), kind: kinds }),
    ({ where: { shape, axis, seed }, flags, kind }) => ({
      inputs: [floats(shape, seed, kind)],
      run: (x: tf.Tensor) => run(x, axis, flags),
      // cumsum and cumprod on cpu, and wasm, take no axis counted from the end.
      onCpu: (x: tf.Tensor) => run(x, (axis + shape.length) % shape.length, flags),
    }),
    { gradient },
  );
}

export const reductionCases: readonly Case[] = [
  reduction('sum', tf.sum),
  // cpu says 0 for the mean of nothing, which is NaN.
  reduction('mean', tf.mean, kind, 1),
  reduction('max', tf.max),
  reduction('min', tf.min),
  reduction(
    'max and min with NaN and infinities',
    (x, axes, keep) => [tf.max(x, axes, keep), tf.min(x, axes, keep)],
    one('special' as const),
    1,
  ),
  reduction('prod', tf.prod, kind, 0, true),
  reduction(
    'moments',
    (x, axes, keep) => {
      const { mean, variance } = tf.moments(x, axes, keep);
      return [mean, variance];
    },
    kind,
    1,
  ),
  reduction('logSumExp', tf.logSumExp, kind, 1),
  reduction(
    'norm 1 and 2',
    (x, axes, keep) => [
      tf.norm(x, 1, axes[0], keep),
      tf.norm(x, 2, axes[0], keep),
      tf.norm(x, 'euclidean', axes[0], keep),
      tf.euclideanNorm(x, axes[0], keep),
    ],
    one('positive', 'negative'),
    1,
  ),
  reduction(
    'norm inf',
    (x, axes, keep) => [
      tf.norm(x, Number.POSITIVE_INFINITY, axes[0], keep),
      tf.norm(x, Number.NEGATIVE_INFINITY, axes[0], keep),
    ],
    one('plain'),
    1,
  ),
  define('norm of matrices', fc.record({ shape: shapes(2, 3), seed }), ({ shape, seed }) => ({
    inputs: [floats(shape, seed, 'positive')],
    run: (x: tf.Tensor) => [
      tf.norm(x, 1, [0, 1]),
      tf.norm(x, 'fro', [-2, -1]),
      tf.norm(x, Number.POSITIVE_INFINITY, [0, 1]),
    ],
  })),
  ofType(
    'sum, max, min, prod of int32',
    (x, axes, keep) => [tf.sum, tf.max, tf.min, tf.prod].map((op) => op(x, axes, keep)),
    one('int32'),
  ),
  ofType(
    'sum and mean of any type',
    (x, axes, keep) => [tf.sum(x, axes, keep), tf.mean(x, axes, keep)],
    dtype,
  ),
  define('all and any', shapesWithAxes(4, 0), ({ shape, axes, keepDims, seed }) => ({
    inputs: [typed(shape, seed, 'bool')],
    run: (x: tf.Tensor) => [tf.all(x, axes, keepDims), tf.any(x, axes, keepDims)],
    // cpu says that not all of no values are true.
    onCpu: (x: tf.Tensor) => {
      const sum = (y: tf.Tensor) => tf.sum(tf.cast(y, 'int32'), axes, keepDims);
      return [tf.equal(sum(tf.logicalNot(x)), 0), tf.greater(sum(x), 0)];
    },
  })),
  along('argMax', (x, axis) => tf.argMax(x, axis), 'cpu'),
  along('argMin', (x, axis) => tf.argMin(x, axis), 'cpu'),
  along('cumsum', (x, axis, flags) => tf.cumsum(x, axis, ...flags), 'slopes'),
  along('cumprod', (x, axis, flags) => tf.cumprod(x, axis, ...flags), 'slopes'),
  along('softmax', (x) => tf.softmax(x), 'cpu'),
  along('logSoftmax', (x) => tf.logSoftmax(x), 'cpu'),
  along(
    'softmax of large numbers',
    (x) => [tf.softmax(tf.mul(x, 300)), tf.logSoftmax(tf.mul(x, 300))] as never,
    'cpu',
    one('plain'),
  ),
  define(
    'topk',
    fc.record({ shape: shapes(1, 3), k: fc.nat(40), kind, sorted: one(true), seed }),
    ({ shape, k, kind, sorted, seed }) => ({
      inputs: [fixed(floats(shape, seed, kind))],
      run: (x: tf.Tensor) => {
        const { values, indices } = tf.topk(x, k % ((shape.at(-1) as number) + 1), sorted);
        return [values, indices];
      },
    }),
  ),
  define('bincount', fc.record({ count: fc.integer({ min: 1, max: 20 }), seed }), (c) => ({
    inputs: [typed([c.count], c.seed, 'int32'), fixed(floats([c.count], c.seed))].map((x, i) =>
      i === 0 ? { ...x, data: Array.from(x.data, (v) => Math.max(0, v)) } : x,
    ),
    run: (x: tf.Tensor1D, weights: tf.Tensor1D) => tf.bincount(x, weights, 6),
  })),
  define('denseBincount', fc.record({ rows: one(1, 2, 3), count: one(1, 4, 9), seed }), (c) => ({
    inputs: [
      {
        ...typed([c.rows, c.count], c.seed, 'int32'),
        data: Array.from(typed([c.rows, c.count], c.seed, 'int32').data, (v) => Math.max(0, v)),
      },
    ],
    run: (x: tf.Tensor2D) => tf.denseBincount(x, [], 6),
  })),
];
