import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import { ShapeError } from '@thimble/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { check, expectGradient, expectSame, on, values } from './helpers.ts';

const three = (max: number) =>
  fc.tuple(fc.integer({ min: 1, max }), fc.integer({ min: 1, max }), fc.integer({ min: 1, max }));
const convolutions = fc
  .record({
    batch: fc.constantFrom(1, 1, 2),
    size: three(6),
    inChannels: fc.constantFrom(1, 2, 5),
    outChannels: fc.constantFrom(1, 3, 9),
    kernel: three(3),
    stride: three(3),
    pad: fc.constantFrom('same' as const, 'valid' as const),
    seed: fc.nat(1000),
  })
  .filter(({ pad, size, kernel }) => pad === 'same' || kernel.every((k, i) => k <= size[i]!));

type Convolution = typeof convolutions extends fc.Arbitrary<infer T> ? T : never;

/** Whether tfjs pads by a negative number, so that cpu skips the first values. */
const skips = ({ size, kernel, stride, pad }: Convolution) =>
  pad === 'same' &&
  size.some((n, i) => (Math.ceil(n / stride[i]!) - 1) * stride[i]! + kernel[i]! < n);

const shapes = (c: Convolution) => [
  [c.batch, ...c.size, c.inChannels],
  [...c.kernel, c.inChannels, c.outChannels],
];

test('conv3d equals the cpu backend at any stride', () =>
  check(
    convolutions.filter((c) => !skips(c)),
    120,
    (c) =>
      expectSame(() => {
        const [x, filter] = shapes(c).map((shape, i) =>
          tf.tensor(values(shape, c.seed + i), shape),
        );
        return tf.conv3d(x as tf.Tensor5D, filter as tf.Tensor5D, c.stride, c.pad);
      }),
  ));

test('dilated conv3d equals the cpu backend', () =>
  expectSame(() => {
    const x = tf.tensor5d(values([1, 5, 6, 7, 2], 1), [1, 5, 6, 7, 2]);
    const filter = tf.tensor5d(values([2, 2, 3, 2, 3], 2), [2, 2, 3, 2, 3]);
    return tf.conv3d(x, filter, 1, 'valid', 'NDHWC', [1, 2, 3]);
  }));

test('its gradients agree with finite differences at any stride and depth', () =>
  check(convolutions, 40, (c) =>
    expectGradient(
      (x, filter) => {
        const y = tf.conv3d(x as tf.Tensor5D, filter as tf.Tensor5D, c.stride, c.pad);
        return tf.sum(tf.mul(y, tf.tensor(values(y.shape, 3), y.shape))) as tf.Scalar;
      },
      shapes(c).map((shape, i) => ({ shape, data: values(shape, c.seed + i) })),
    ),
  ));

test('more columns than are laid out at once', () =>
  expectGradient(
    (x, filter) => {
      const y = tf.conv3d(x as tf.Tensor5D, filter as tf.Tensor5D, 1, 'same');
      return tf.sum(tf.mul(y, tf.tensor(values(y.shape, 3), y.shape))) as tf.Scalar;
    },
    [
      { shape: [2, 12, 12, 12, 3], data: values([2, 12, 12, 12, 3], 1) },
      { shape: [3, 3, 3, 3, 2], data: values([3, 3, 3, 3, 2], 2) },
    ],
    { tolerance: 3e-3 },
  ));

test('the input gradient reaches every plane, unlike on stock wasm', async () => {
  const compute = () => {
    const x = tf.tensor5d([1, 1], [1, 2, 1, 1, 1]);
    const filter = tf.tensor5d([1, 1], [2, 1, 1, 1, 1]);
    return tf.conv3dTranspose<tf.Tensor5D>(x, filter, [1, 4, 1, 1, 1], [2, 1, 1], 'same');
  };
  expect((await on('thimble', compute))[0]?.data).toEqual([1, 1, 1, 1]);
  expect((await on('wasm', compute))[0]?.data).not.toEqual([1, 1, 1, 1]);
});

test("'same' starts at the first value where the stride leaves some unused", async () => {
  const results = await on('thimble', () => {
    const x = tf.tensor5d([1, 2, 3, 4], [1, 4, 1, 1, 1]);
    const one = tf.ones<tf.Rank.R5>([1, 1, 1, 1, 1]);
    return [tf.conv3d(x, one, [2, 1, 1], 'same'), tf.maxPool3d(x, 1, [2, 1, 1], 'same')];
  });
  for (const { data } of results) expect(data).toEqual([1, 3]);
});

test('no channels and no batch give zeros and nothing', async () => {
  type Shape = [number, number, number, number, number];
  const run = (x: Shape, filter: Shape) =>
    tf.conv3d(tf.zeros<tf.Rank.R5>(x), tf.zeros<tf.Rank.R5>(filter), 1, 'same');
  const [zeros, nothing] = await on('thimble', () => [
    run([1, 2, 2, 2, 0], [1, 1, 1, 0, 2]),
    run([0, 2, 2, 2, 1], [1, 1, 1, 1, 2]),
  ]);
  expect(zeros?.data).toEqual(new Array(16).fill(0));
  expect(nothing).toEqual({ shape: [0, 2, 2, 2, 2], data: [] });
});

test('a filter larger than the input is refused by name', async () => {
  await tf.setBackend('thimble');
  const x = tf.ones<tf.Rank.R5>([1, 2, 2, 2, 1]);
  const filter = tf.ones<tf.Rank.R5>([3, 1, 1, 1, 1]);
  expect(() => tf.conv3d(x, filter, 1, 'valid')).toThrow(ShapeError);
  tf.dispose([x, filter]);
});
