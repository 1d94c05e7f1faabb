import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import { ShapeError } from '@thimble/base';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { check, on, values } from './helpers.ts';
import { expectAlike } from './special.ts';

const side = fc.integer({ min: 1, max: 5 });
const gathers = fc
  .record({
    batch: fc.array(side, { maxLength: 2 }),
    outer: fc.array(side, { maxLength: 2 }),
    rows: side,
    slice: fc.oneof(fc.array(side, { maxLength: 2 }), fc.constantFrom([64], [97], [3, 50])),
    picks: fc.array(fc.constantFrom(1, 2, 3, 7), { maxLength: 2 }),
    dtype: fc.constantFrom('float32' as const, 'int32' as const, 'bool' as const),
    seed: fc.nat(1000),
  })
  .filter(({ batch, outer, slice }) => batch.length + outer.length + slice.length < 5);

test('gather equals the cpu backend for all axes, batch dimensions and types', () =>
  check(gathers, 200, ({ batch, outer, rows, slice, picks, dtype, seed }) =>
    expectAlike(() => {
      const shape = [...batch, ...outer, rows, ...slice];
      const data = values(shape, seed, dtype === 'bool' ? 2 : 100).map((v) =>
        dtype === 'bool' ? v + 1 : v,
      );
      const indexShape = [...batch, ...picks];
      const indices = values(indexShape, seed + 1).map((v) =>
        Math.min(rows - 1, Math.floor(((v + 1) / 2) * rows)),
      );
      return tf.gather(
        tf.tensor(data, shape, dtype),
        tf.tensor(indices, indexShape, 'int32'),
        batch.length + outer.length,
        batch.length,
      );
    }),
  ));

test('a batch with more indices than the batch is long, where stock reads out of bounds', async () => {
  const [rows] = await on('thimble', () =>
    tf.gather(
      tf.tensor2d([
        [1, 2, 3],
        [4, 5, 6],
      ]),
      tf.tensor2d(
        [
          [2, 0, 1],
          [0, 0, 2],
        ],
        [2, 3],
        'int32',
      ),
      1,
      1,
    ),
  );
  expect(rows).toEqual({ shape: [2, 3], data: [3, 1, 2, 4, 4, 6] });
});

test('an index outside the axis is refused by name', async () => {
  await tf.setBackend('thimble');
  const x = tf.ones([4, 2]);
  for (const index of [4, -1, 2_147_483_647, -2_147_483_648]) {
    const indices = tf.tensor1d([0, 3, index], 'int32');
    expect(() => tf.gather(x, indices)).toThrow(ShapeError);
    expect(() => tf.gather(x, indices)).toThrow(
      `gather: index ${index} (number 2 of the indices) is outside axis 0 of the input [4,2], which has 4 entries: 0 to 3.`,
    );
    indices.dispose();
  }
  x.dispose();
});

test('no indices and empty slices give an empty result', () =>
  expectAlike(() => [
    tf.gather(tf.ones([3, 2]), tf.tensor1d([], 'int32')),
    tf.gather(tf.ones([3, 0]), tf.tensor1d([1, 2], 'int32')),
  ]));
