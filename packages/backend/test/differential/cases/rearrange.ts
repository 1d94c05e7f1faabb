// Ops that copy values to other places.
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { type Case, define } from '../case.ts';
import {
  dtype,
  fixed,
  floats,
  type Input,
  one,
  seed,
  shapes,
  shapesWithAxes,
  shapesWithAxis,
  sizeOf,
  typed,
  upTo,
} from '../data.ts';
import { stridedSlice } from './strided-slice.ts';

const sides = fc.array(fc.tuple(one(0, 1, 2, 5), one(0, 1, 3)), { minLength: 6, maxLength: 6 });
const permutations = shapes(1, 6).chain((shape) =>
  fc.record({
    shape: fc.constant(shape),
    order: fc.shuffledSubarray([...shape.keys()], { minLength: shape.length }),
    dtype,
    seed,
  }),
);

type Rearrange = (x: tf.Tensor) => tf.Tensor | tf.Tensor[];
type Gradient = 'cpu' | 'slopes' | 'none';

/** Runs on float32 with a gradient, or on another type. */
function rearrange<T extends { shape: number[]; seed: number }>(
  name: string,
  examples: fc.Arbitrary<T>,
  run: (c: T) => Rearrange,
  gradient: Gradient = 'cpu',
  types: fc.Arbitrary<Input['dtype']> = one('float32', 'float32', 'int32'),
): Case {
  return define(
    name,
    fc.record({ c: examples, dtype: types }),
    ({ c, dtype }) => ({
      inputs: [typed(c.shape, c.seed, dtype)],
      run: (x: tf.Tensor) => run(c)(x),
    }),
    { gradient },
  );
}

const starts = shapes(1, 5).chain((shape) =>
  fc.record({
    shape: fc.constant(shape),
    from: fc.tuple(...shape.map((size) => fc.nat(size - 1))),
    sizes: fc.tuple(...shape.map((size) => fc.integer({ min: -1, max: size }))),
    seed,
  }),
);

export const rearrangeCases: readonly Case[] = [
  define(
    'concat',
    fc.record({
      where: shapesWithAxis(5),
      sizes: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 1, maxLength: 4 }),
      dtype,
    }),
    ({ where: { shape, axis, seed }, sizes, dtype }) => {
      const at = (axis + shape.length) % shape.length;
      return {
        inputs: sizes.map((size, i) =>
          typed(
            shape.map((old, j) => (j === at ? size : old)),
            seed + i,
            dtype,
          ),
        ),
        run: (...tensors: tf.Tensor[]) => tf.concat(tensors, axis),
        gradient: sizes.every((size) => size > 0),
      };
    },
  ),
  define('stack', fc.record({ where: shapesWithAxis(4), count: upTo(4) }), ({ where, count }) => ({
    inputs: Array.from({ length: count }, (_, i) => floats(where.shape, where.seed + i)),
    run: (...tensors: tf.Tensor[]) => tf.stack(tensors, where.axis),
  })),
  rearrange(
    'unstack',
    shapesWithAxis(4),
    (c) => (x) => tf.unstack(x, c.axis),
    'slopes',
    one('float32'),
  ),
  rearrange(
    'split in equal parts',
    fc.record({ parts: one(2, 3), where: shapesWithAxis(4) }).map(({ parts, where }) => {
      const at = (where.axis + where.shape.length) % where.shape.length;
      return {
        ...where,
        parts,
        shape: where.shape.map((size, i) => (i === at ? size * parts : size)),
      };
    }),
    (c) => (x) => tf.split(x, c.parts, c.axis),
  ),
  define('split by sizes', shapesWithAxis(4), ({ shape, axis, seed }) => {
    const at = (axis + shape.length) % shape.length;
    const size = shape[at] as number;
    const first = seed % size;
    const sizes = first === 0 ? [size] : [first, size - first];
    return {
      inputs: [floats(shape, seed)],
      run: (x: tf.Tensor) => tf.split(x, sizes, axis),
      // tfjs has no gradient of a split into one part.
      onCpu: (x: tf.Tensor) => {
        const from = (begin: number, length: number) =>
          tf.slice(
            x,
            shape.map((_, i) => (i === at ? begin : 0)),
            shape.map((old, i) => (i === at ? length : old)),
          );
        return first === 0 ? [from(0, size)] : [from(0, first), from(first, size - first)];
      },
    };
  }),
  rearrange(
    'slice',
    starts,
    (c) => (x) =>
      tf.slice(
        x,
        c.from,
        c.sizes.map((size, i) =>
          size < 0 ? -1 : Math.min(size, (c.shape[i] as number) - (c.from[i] as number)),
        ),
      ),
    'cpu',
    dtype,
  ),
  stridedSlice,
  rearrange(
    'pad',
    fc.record({ shape: shapes(1, 5), sides, value: one(0, 0.5, -3), seed }),
    (c) => (x) =>
      tf.pad(
        x,
        c.shape.map((_, i) => c.sides[i] as [number, number]),
        c.value,
      ),
  ),
  rearrange(
    'mirrorPad',
    fc.record({ shape: shapes(1, 4), mode: one('reflect', 'symmetric'), sides, seed }),
    (c) => (x) =>
      tf.mirrorPad(
        x,
        c.shape.map((size, i) => {
          const most = c.mode === 'reflect' ? size - 1 : size;
          return (c.sides[i] as [number, number]).map((n) => Math.min(n, most)) as [number, number];
        }),
        c.mode,
      ),
    'slopes',
    one('float32'),
  ),
  rearrange(
    'tile',
    fc.record({
      shape: shapes(1, 5),
      reps: fc.array(upTo(3), { minLength: 5, maxLength: 5 }),
      seed,
    }),
    (c) => (x) => tf.tile(x, c.reps.slice(0, c.shape.length)),
    'slopes',
  ),
  rearrange('reverse', shapesWithAxes(4, 0), (c) => (x) => tf.reverse(x, c.axes), 'cpu', dtype),
  define('transpose', permutations, (c) => ({
    inputs: [typed(c.shape, c.seed, c.dtype)],
    run: (x: tf.Tensor) => tf.transpose(x, c.order),
  })),
  rearrange(
    'broadcastTo',
    fc
      .record({
        shape: shapes(1, 3),
        ones: fc.array(fc.boolean(), { minLength: 3, maxLength: 3 }),
        more: upTo(3),
        seed,
      })
      .map((c) => ({
        ...c,
        shape: c.shape.map((size, i) => (c.ones[i] ? 1 : size)),
        to: [c.more, ...c.shape],
      })),
    (c) => (x) => tf.broadcastTo(x, c.to as [number, number]),
    'slopes',
    one('float32'),
  ),
  rearrange(
    'reshape, expandDims and squeeze',
    shapesWithAxis(4, 0),
    (c) => (x) => [tf.reshape(x, [sizeOf(c.shape)]), tf.expandDims(x, c.axis), tf.squeeze(x)],
    'cpu',
    dtype,
  ),
  define(
    'depthToSpace',
    fc.record({
      batch: upTo(2),
      height: upTo(3),
      width: upTo(3),
      block: one(2, 3),
      depth: upTo(3),
      seed,
    }),
    (c) => ({
      inputs: [fixed(floats([c.batch, c.height, c.width, c.depth * c.block ** 2], c.seed))],
      run: (x: tf.Tensor4D) => tf.depthToSpace(x, c.block),
    }),
  ),
  define(
    'spaceToBatchND and back',
    fc.record({
      batch: upTo(2),
      block: fc.tuple(upTo(2), upTo(3)),
      size: fc.tuple(upTo(3), upTo(3)),
      depth: upTo(3),
      seed,
    }),
    (c) => {
      const zero = [
        [0, 0],
        [0, 0],
      ];
      return {
        inputs: [
          floats([c.batch, c.size[0] * c.block[0], c.size[1] * c.block[1], c.depth], c.seed),
        ],
        run: (x: tf.Tensor4D) => {
          const y = tf.spaceToBatchND(x, c.block, zero);
          return [y, tf.batchToSpaceND(tf.square(y), c.block, zero)];
        },
      };
    },
  ),
  define('makers of tensors', fc.record({ size: upTo(9), seed }), (c) => ({
    inputs: [fixed(floats([c.size], c.seed))],
    run: (x: tf.Tensor1D) => [
      tf.diag(x),
      tf.eye(c.size),
      tf.linspace(-1, 2, c.size),
      tf.range(0, c.size, 2),
      tf.range(c.size, 0, -1, 'int32'),
      tf.fill([c.size, 2], 0.25),
      ...tf.meshgrid(x, x),
      tf.broadcastArgs(tf.tensor1d([c.size, 1], 'int32'), tf.tensor1d([1, 3], 'int32')),
    ],
  })),
];
