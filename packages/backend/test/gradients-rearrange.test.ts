// Ops that copy, move and scan values. All but the products are linear in the input, so finite differences are exact
// up to rounding, and so is the adjoint: <dy, f(x)> = <gradient, x>.
import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { check, expectGradient, expectSame, on, values } from './helpers.ts';

beforeAll(async () => {
  await tf.setBackend('thimble');
});

function weighted(y: tf.Tensor): tf.Scalar {
  return tf.sum(tf.mul(y, tf.tensor(values(y.shape, 99), y.shape))) as tf.Scalar;
}

const input = (shape: number[], seed = 1) => ({ shape, data: values(shape, seed) });

const size = fc.integer({ min: 1, max: 4 });
const shapes = (minLength: number, maxLength: number) => fc.array(size, { minLength, maxLength });

/** A shape and one of its axes, from the front or from the back. */
const withAxis = shapes(1, 4).chain((shape) =>
  fc.record({
    shape: fc.constant(shape),
    axis: fc.integer({ min: -shape.length, max: shape.length - 1 }),
  }),
);

test('cumsum and its gradient are right along every axis', () =>
  check(
    fc.record({
      at: withAxis,
      exclusive: fc.boolean(),
      reverse: fc.boolean(),
      seed: fc.nat(1000),
    }),
    60,
    async ({ at: { shape, axis }, exclusive, reverse, seed }) => {
      const { data } = input(shape, seed);
      const positive = axis < 0 ? axis + shape.length : axis;
      await expectSame(() =>
        tf.cumsum(
          tf.tensor(data, shape),
          tf.getBackend() === 'cpu' ? positive : axis,
          exclusive,
          reverse,
        ),
      );
      await expectGradient(
        (x) => weighted(tf.cumsum(x, axis, exclusive, reverse)),
        [input(shape, seed)],
      );
    },
  ));

test('cumprod and its gradient are right along every axis, zeros included', () =>
  check(
    fc.record({
      at: withAxis,
      exclusive: fc.boolean(),
      reverse: fc.boolean(),
      seed: fc.nat(1000),
      levels: fc.constantFrom(undefined, 4),
    }),
    60,
    async ({ at: { shape, axis }, exclusive, reverse, seed, levels }) => {
      const data = values(shape, seed, levels);
      const positive = axis < 0 ? axis + shape.length : axis;
      await expectSame(() =>
        tf.cumprod(
          tf.tensor(data, shape),
          tf.getBackend() === 'cpu' ? positive : axis,
          exclusive,
          reverse,
        ),
      );
      await expectGradient(
        (x) => weighted(tf.cumprod(x, axis, exclusive, reverse)),
        [{ shape, data }],
      );
    },
  ));

test('the gradient of prod is right for all axes, zeros included', () =>
  check(
    fc.record({
      shape: shapes(1, 4),
      mask: fc.nat(15),
      keepDims: fc.boolean(),
      seed: fc.nat(1000),
      levels: fc.constantFrom(undefined, 4),
    }),
    60,
    ({ shape, mask, keepDims, seed, levels }) => {
      const axes = shape.map((_, i) => i).filter((i) => mask & (1 << i));
      return expectGradient(
        (x) => weighted(tf.prod(x, axes.length > 0 ? axes : undefined, keepDims)),
        [{ shape, data: values(shape, seed, levels) }],
      );
    },
  ));

test('the gradient of mirrorPad adds the copies', () =>
  check(
    fc.record({
      shape: fc.array(fc.integer({ min: 2, max: 4 }), { minLength: 1, maxLength: 4 }),
      pads: fc.array(fc.tuple(fc.nat(4), fc.nat(4)), { minLength: 4, maxLength: 4 }),
      mode: fc.constantFrom('reflect' as const, 'symmetric' as const),
      seed: fc.nat(1000),
    }),
    60,
    async ({ shape, pads, mode, seed }) => {
      const most = mode === 'reflect' ? 1 : 0;
      const paddings = shape.map((length, i) =>
        (pads[i] as [number, number]).map((pad) => Math.min(pad, length - most)),
      ) as [number, number][];
      await expectGradient((x) => weighted(tf.mirrorPad(x, paddings, mode)), [input(shape, seed)], {
        entries: 16,
      });
    },
  ));

test('mirrorPad by hand: [a, b, c] reflected by 2 and 1 is [c, b, a, b, c, b]', async () => {
  const [gradient] = await on('thimble', () =>
    tf.grad((x) => tf.mirrorPad(x, [[2, 1]], 'reflect'))(tf.tensor1d([1, 2, 3])),
  );
  expect(gradient?.data).toEqual([1, 3, 2]);
});

test('the gradient of tile sums the copies for every rank', () =>
  check(
    fc.record({
      shape: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 5 }),
      reps: fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 5, maxLength: 5 }),
      seed: fc.nat(1000),
    }),
    40,
    ({ shape, reps, seed }) =>
      expectGradient(
        (x) => weighted(tf.tile(x, reps.slice(0, shape.length))),
        [input(shape, seed)],
      ),
  ));

test('the gradient of unstack is right for one slice and for several', () =>
  check(fc.record({ at: withAxis, seed: fc.nat(1000) }), 40, ({ at: { shape, axis }, seed }) =>
    expectGradient(
      (x) => {
        const slices = tf.unstack(x, axis).map((slice, i) => tf.mul(slice, i + 1));
        return weighted(tf.concat(slices.map((slice) => tf.reshape(slice, [-1]))));
      },
      [input(shape, seed)],
    ),
  ));

test('the gradient of gather is right along every axis', () =>
  check(
    fc.record({ at: withAxis, count: size, seed: fc.nat(1000) }),
    60,
    ({ at: { shape, axis }, count, seed }) => {
      const positive = axis < 0 ? axis + shape.length : axis;
      const length = shape[positive] as number;
      const indices = tf.util.toTypedArray(
        Array.from(values([count, 2], seed), (v) => Math.floor(((v + 1) / 2) * length)),
        'int32',
      );
      return expectGradient(
        (x) =>
          weighted(tf.gather(x, tf.tensor2d(indices as Int32Array, [count, 2], 'int32'), positive)),
        [input(shape, seed)],
      );
    },
  ));

test('the gradient of gather along batches adds within each batch item', async () => {
  const cases = [
    { shape: [2, 4, 3], indices: [2, 3], axis: 1, batchDims: 1 },
    { shape: [2, 3, 4, 2], indices: [2, 3], axis: 2, batchDims: 1 },
    { shape: [2, 3, 4], indices: [2, 3, 2], axis: 2, batchDims: 2 },
    { shape: [2, 1, 3, 4], indices: [2, 1, 2, 3], axis: 3, batchDims: 2 },
  ];
  for (const { shape, indices, axis, batchDims } of cases) {
    const length = shape[axis] as number;
    const ids = Array.from(values(indices, 7), (v) => Math.floor(((v + 1) / 2) * length));
    await expectGradient(
      (x) => weighted(tf.gather(x, tf.tensor(ids, indices, 'int32') as never, axis, batchDims)),
      [input(shape)],
      { entries: 24 },
    );
  }
});

test('the gradient of stridedSlice is right for all strides and masks', () =>
  check(
    fc.record({
      shape: shapes(1, 3),
      begin: fc.array(fc.integer({ min: -4, max: 4 }), { minLength: 3, maxLength: 3 }),
      end: fc.array(fc.integer({ min: -5, max: 5 }), { minLength: 3, maxLength: 3 }),
      strides: fc.array(fc.constantFrom(-3, -2, -1, 1, 2, 3), { minLength: 3, maxLength: 3 }),
      beginMask: fc.nat(7),
      endMask: fc.nat(7),
      seed: fc.nat(1000),
    }),
    150,
    async ({ shape, begin, end, strides, beginMask, endMask, seed }) => {
      const cut = (list: number[]) => list.slice(0, shape.length);
      const run = (x: tf.Tensor) =>
        tf.stridedSlice(x, cut(begin), cut(end), cut(strides), beginMask, endMask);
      await expectGradient((x) => weighted(run(x)), [input(shape, seed)], { entries: 12 });
    },
  ));

test('stridedSlice reads the right elements where an axis is dropped, and may read none', async () => {
  // Stock gives [1, 2] for x[1, 0:4:2], and throws where nothing is left.
  const x = () => tf.reshape(tf.range(0, 12), [3, 4]);
  const read = await on('thimble', () => [
    tf.stridedSlice(x(), [1, 0], [2, 4], [1, 2], 0, 0, 0, 0, 1),
    tf.stridedSlice(x(), [2, 3], [-4, -5], [-2, -3]),
    tf.stridedSlice(x(), [-1, 0], [0, 4], [1, 2]),
  ]);
  expect(read).toEqual([
    { shape: [2], data: [4, 6] },
    { shape: [2, 2], data: [11, 8, 3, 0] },
    { shape: [0, 2], data: [] },
  ]);
});

test('the gradient of stridedSlice is right with new, dropped and elided axes', async () => {
  const cases: [number[], number[], number[], number, number, number][] = [
    [[1, 0], [2, 4], [1, 2], 0, 0, 1], // x[1, 0:4:2]
    [[0, 0, 0], [0, 3, 2], [1, 1, 1], 0, 1, 0], // x[newaxis, 0:3, 0:2]
    [[0, 1], [0, 4], [1, 2], 1, 0, 0], // x[..., 1:4:2]
  ];
  for (const [begin, end, strides, ellipsis, newAxis, shrink] of cases) {
    await expectGradient(
      (x) => weighted(tf.stridedSlice(x, begin, end, strides, 0, 0, ellipsis, newAxis, shrink)),
      [input([3, 4])],
      { entries: 12 },
    );
  }
});

test('the gradients of gatherND and scatterND are one another', async () => {
  const ids = [
    [0, 1],
    [2, 3],
    [0, 1],
  ];
  const indices = () => tf.tensor2d(ids, [3, 2], 'int32');
  await expectGradient((x) => weighted(tf.gatherND(x, indices())), [input([3, 4, 2])], {
    entries: 24,
  });
  await expectGradient(
    (x) => weighted(tf.scatterND(indices() as never, x, [3, 4, 2])),
    [input([3, 2])],
  );
});

test('comparisons have a gradient of 0', async () => {
  for (const compare of [
    tf.greater,
    tf.less,
    tf.lessEqual,
    tf.equal,
    tf.notEqual,
    tf.greaterEqual,
  ]) {
    const gradients = await on('thimble', () =>
      tf.grads((a, b) => tf.mul(a, tf.cast(compare(a, b), 'float32')))([
        tf.tensor1d([1, 2, 3]),
        tf.tensor1d([2]),
      ]),
    );
    expect(gradients[1]?.data).toEqual([0]);
    expect(gradients[0]?.data.every((v) => v === 0 || v === 1)).toBe(true);
  }
});
