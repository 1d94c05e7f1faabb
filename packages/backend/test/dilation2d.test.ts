import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { check, expectGradient, on, values } from './helpers.ts';
import { expectAlike } from './special.ts';

const two = (max: number) => fc.tuple(fc.integer({ min: 1, max }), fc.integer({ min: 1, max }));
const dilations = fc
  .record({
    batch: fc.constantFrom(1, 2),
    size: two(7),
    channels: fc.constantFrom(1, 2, 4),
    kernel: two(3),
    stride: two(3),
    rate: two(2),
    pad: fc.constantFrom('same' as const, 'valid' as const),
    seed: fc.nat(1000),
  })
  // Every window holds at least one value.
  .filter(({ size, kernel, rate }) => kernel.every((k, i) => (k - 1) * rate[i]! < size[i]!));

type Dilation = typeof dilations extends fc.Arbitrary<infer T> ? T : never;

const shapes = (d: Dilation) => [
  [d.batch, ...d.size, d.channels],
  [...d.kernel, d.channels],
];
const dilate = ({ stride, pad, rate }: Dilation, x: tf.Tensor, filter: tf.Tensor) =>
  tf.dilation2d(x as tf.Tensor4D, filter as tf.Tensor3D, stride, pad, rate);

test('dilation2d and its gradients equal the cpu backend', () =>
  check(dilations, 150, (d) =>
    expectAlike(() => {
      const [x, filter] = shapes(d).map((shape, i) =>
        tf.sub(tf.tensor(values(shape, d.seed + i), shape), 0.5),
      ) as [tf.Tensor, tf.Tensor];
      return [dilate(d, x, filter), ...tf.grads((a, b) => dilate(d, a, b))([x, filter])];
    }, 1e-6),
  ));

test('the gradients agree with finite differences', () =>
  check(dilations, 15, (d) =>
    expectGradient(
      (x, filter) => {
        const y = dilate(d, x as tf.Tensor, filter as tf.Tensor);
        return tf.sum(tf.mul(y, tf.tensor(values(y.shape, 3), y.shape))) as tf.Scalar;
      },
      shapes(d).map((shape, which) => {
        // Sums of a multiple of 0.1 and one of 0.037 that lie apart by more than the step.
        const order = values(shape, d.seed + which);
        const unit = which === 0 ? 0.3 : 0.041;
        return { shape, data: order.map((v) => Math.round(v * 1000) * unit) };
      }),
      { step: 2e-3, tolerance: 2e-2, entries: 4 },
    ),
  ));

test('the maximum of negative sums is negative, where stock wasm gives 1.2e-38', async () => {
  const compute = () => {
    const x = tf.tensor4d([-4, -2, -3, -1], [1, 2, 2, 1]);
    const filter = tf.zeros<tf.Rank.R3>([2, 2, 1]);
    const run = (a: tf.Tensor) => tf.dilation2d(a as tf.Tensor4D, filter, 1, 'valid');
    return [run(x), tf.grad(run)(x)];
  };
  const [y, dx] = await on('thimble', compute);
  expect([y?.data, dx?.data]).toEqual([[-1], [0, 0, 0, 1]]);
  expect((await on('wasm', compute))[0]?.data[0]).toBeGreaterThan(0);
});

test('of equal sums the first takes the gradient', async () => {
  const results = await on('thimble', () => {
    const run = (x: tf.Tensor, filter: tf.Tensor) =>
      tf.dilation2d(x as tf.Tensor4D, filter as tf.Tensor3D, 1, 'valid');
    return tf.grads(run)([tf.zeros([1, 2, 2, 1]), tf.zeros([2, 2, 1])]);
  });
  for (const { data } of results) expect(data).toEqual([1, 0, 0, 0]);
});
