import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { check, expectClose, expectGradient, on, values } from './helpers.ts';

beforeAll(async () => {
  await tf.setBackend('thimble');
});

function weighted(y: tf.Tensor): tf.Scalar {
  return tf.sum(tf.mul(y, tf.tensor(values(y.shape, 99), y.shape))) as tf.Scalar;
}

const side = fc.integer({ min: 1, max: 7 });
const resizes = fc.record({
  batch: fc.constantFrom(1, 2),
  height: side,
  width: side,
  channels: fc.constantFrom(1, 3),
  outHeight: side,
  outWidth: side,
  mode: fc.constantFrom('plain', 'corners', 'half'),
  seed: fc.nat(1000),
});

for (const [name, resize] of [
  ['resizeBilinear', tf.image.resizeBilinear],
  ['resizeNearestNeighbor', tf.image.resizeNearestNeighbor],
] as const) {
  test(`the gradient of ${name} is the transpose of the forward pass`, () =>
    check(resizes, 80, (c) => {
      const shape = [c.batch, c.height, c.width, c.channels];
      return expectGradient(
        (x) =>
          weighted(
            resize(
              x as tf.Tensor4D,
              [c.outHeight, c.outWidth],
              c.mode === 'corners',
              c.mode === 'half',
            ),
          ),
        [{ shape, data: values(shape, c.seed) }],
        { entries: 12 },
      );
    }));
}

test('alignCorners with an output of one pixel reads the first pixel', async () => {
  const [gradient] = await on('thimble', () =>
    tf.grad((x) => tf.image.resizeNearestNeighbor(x as tf.Tensor4D, [1, 1], true))(
      tf.ones([1, 1, 3, 1]),
    ),
  );
  expect(gradient?.data).toEqual([1, 0, 0]);
});

test('the gradient of cropAndResize by the image agrees with finite differences', () =>
  check(
    fc.record({
      method: fc.constantFrom('bilinear' as const, 'nearest' as const),
      height: fc.integer({ min: 2, max: 6 }),
      width: fc.integer({ min: 2, max: 6 }),
      crop: fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 5 })),
      seed: fc.nat(1000),
    }),
    60,
    ({ method, height, width, crop, seed }) => {
      const shape = [2, height, width, 2];
      // Boxes reach outside of the image and run backwards as well.
      const boxes = Array.from(values([3, 4], seed + 5), (v) => 0.5 + 0.8 * v);
      return expectGradient(
        (x) =>
          weighted(
            tf.image.cropAndResize(
              x as tf.Tensor4D,
              tf.tensor2d(boxes, [3, 4]),
              tf.tensor1d([0, 1, 0], 'int32'),
              crop,
              method,
            ),
          ),
        [{ shape, data: values(shape, seed) }],
        { entries: 16 },
      );
    },
  ));

test('cropAndResize has no gradient by the boxes', async () => {
  await tf.setBackend('thimble');
  expect(() =>
    tf.tidy(() =>
      tf.grad((boxes) =>
        tf.image.cropAndResize(
          tf.ones([1, 4, 4, 1]),
          boxes as tf.Tensor2D,
          tf.tensor1d([0], 'int32'),
          [2, 2],
        ),
      )(tf.tensor2d([[0, 0, 1, 1]])),
    ),
  ).toThrow(/by the image only/);
  expectClose([0], [0]);
});
