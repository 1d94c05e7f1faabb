// What copies blocks from heap to heap: concat, stack, split, unstack, slice and reverse, in every type, with
// blocks from one byte to more than a call of memory.copy is for.
import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { dtype, one, seed, shapesWithAxis, typed } from './differential/data.ts';
import { check, expectSame, on, registerChainedOps, values } from './helpers.ts';
import { expectAlike } from './special.ts';

beforeAll(registerChainedOps); // cpu's gradients need them

const where = fc
  .record({ at: shapesWithAxis(4, 0), last: one(1, 3, 17, 90), dtype })
  .map(({ at: { shape, axis, seed }, last, dtype }) => ({
    shape: seed % 2 ? [...shape, last] : shape,
    axis: (axis + shape.length) % shape.length,
    seed,
    dtype,
  }))
  .filter(({ shape }) => tf.util.sizeFromShape(shape) < 20_000);

type Where = typeof where extends fc.Arbitrary<infer T> ? T : never;

function make({ shape, axis, seed, dtype }: Where, size = shape[axis]!, more = 0): tf.Tensor {
  const sized = shape.map((old, i) => (i === axis ? size : old));
  const { data } = typed(sized, seed + more, dtype, 'special');
  return tf.tensor(data as Float32Array, sized, dtype);
}

test('concat and stack equal the cpu backend, parts of nothing among them', () =>
  check(
    fc.record({ c: where, sizes: fc.array(fc.nat(5), { minLength: 1, maxLength: 4 }) }),
    150,
    ({ c, sizes }) =>
      expectAlike(() => [
        tf.concat(
          sizes.map((size, i) => make(c, size, i)),
          c.axis,
        ),
        tf.stack(
          sizes.map((_, i) => make(c, undefined, i)),
          c.axis,
        ),
        tf.stack([make(c), make(c, undefined, 1)], -1),
      ]),
  ));

test('split and unstack equal the cpu backend', () =>
  check(
    fc.record({ c: where, sizes: fc.array(fc.nat(5), { minLength: 1, maxLength: 4 }) }),
    150,
    ({ c, sizes }) =>
      expectAlike(() => {
        const total = sizes.reduce((sum, size) => sum + size, 0);
        const x = make(c, total);
        const most = Math.min(8, total); // some ops less
        return [
          ...tf.split(x, sizes, c.axis),
          ...tf.split(make(c, 3 * most), 3, c.axis),
          ...tf.unstack(make(c, most), c.axis),
        ];
      }),
  ));

test('slice equals the cpu backend', () =>
  check(fc.record({ c: where, cuts: fc.array(seed, { minLength: 5 }) }), 200, ({ c, cuts }) =>
    expectAlike(() => {
      const begin = c.shape.map((size, i) => (cuts[i]! % 2 ? cuts[i]! % Math.max(1, size) : 0));
      const size = c.shape.map((old, i) =>
        cuts[i]! % 3 ? old - begin[i]! : (cuts[i]! >> 3) % (old - begin[i]! + 1),
      );
      return tf.slice(make(c), begin, size);
    }),
  ));

test('reverse equals the cpu backend along any axes', () =>
  check(fc.record({ c: where, turn: fc.nat(31) }), 150, ({ c, turn }) =>
    expectAlike(() => {
      const axes = c.shape.flatMap((_, i) =>
        (turn >> i) & 1 ? [i - (turn % c.shape.length)] : [],
      );
      const unique = [...new Set(axes.map((axis) => (axis + c.shape.length) % c.shape.length))];
      return [tf.reverse(make(c), unique), tf.reverse(make(c))];
    }),
  ));

test('of one value, and of strings, which stay with stock', async () => {
  const found = await on('thimble', () => {
    const words = tf.tensor1d(['a', 'b']);
    return [
      tf.reverse(tf.scalar(3)),
      tf.stack([tf.scalar(1), tf.scalar(2)]),
      tf.concat([words, words]),
      ...tf.unstack(words),
    ];
  });
  expect(found.map(({ data }) => data)).toEqual([[3], [1, 2], ['a', 'b', 'a', 'b'], ['a'], ['b']]);
});

test('the gradients of all of them, once and twice', () =>
  check(where, 60, ({ shape, axis, seed }) =>
    expectSame(() => {
      const even = shape.map((size, i) => (i === axis ? 2 * Math.max(1, size) : Math.max(1, size)));
      const x = tf.tensor(values(even, seed), even);
      const loss = (z: tf.Tensor) => {
        const square = tf.square(z);
        const parts = tf.split(square, 2, axis);
        const half = even.map((size, i) => (i === axis ? size / 2 : size));
        const outs = [
          tf.concat([parts[1]!, z, parts[0]!], axis),
          tf.stack(tf.unstack(tf.square(z), axis).reverse(), axis),
          tf.reverse(square, [axis]),
          tf.mul(
            parts[0]!,
            tf.slice(
              z,
              even.map(() => 0),
              half,
            ),
          ),
        ];
        return outs
          .map((y, i) => tf.sum(tf.mul(tf.square(y), tf.tensor(values(y.shape, i), y.shape))))
          .reduce((sum, part) => tf.add(sum, part));
      };
      const slope = tf.grad(loss);
      return [slope(x), tf.grad((z) => tf.sum(tf.square(slope(z))))(x)];
    }),
  ));
