import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { check, expectSame, on, values } from './helpers.ts';

const gathers = fc.record({
  rows: fc.integer({ min: 1, max: 9 }),
  rest: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 2 }),
  ids: fc.array(fc.nat(8), { minLength: 1, maxLength: 12 }),
  seed: fc.nat(1000),
});

test('unsortedSegmentSum equals the cpu backend', () =>
  check(gathers, 80, ({ rest, ids, seed }) =>
    expectSame(() => {
      const shape = [ids.length, ...rest];
      const x = tf.tensor(values(shape, seed), shape);
      return tf.unsortedSegmentSum(x, tf.tensor1d(ids, 'int32'), 9);
    }),
  ));

test('the gradient of gather along any axis equals the cpu backend', () =>
  check(fc.tuple(gathers, fc.nat(2)), 80, ([{ rows, rest, ids, seed }, wanted]) =>
    expectSame(() => {
      const axis = Math.min(wanted, rest.length);
      const shape = [...rest];
      shape.splice(axis, 0, rows);
      const x = tf.tensor(values(shape, seed), shape);
      const indices = tf.tensor1d(
        ids.map((id) => id % rows),
        'int32',
      );
      return tf.grad((t) => tf.square(tf.gather(t, indices, axis)))(x);
    }),
  ));

test('repeated ids add up, ids out of range are left out, unused segments are 0', async () => {
  const [sums] = await on('thimble', () =>
    tf.unsortedSegmentSum(tf.tensor1d([1, 2, 4, 8, 16]), tf.tensor1d([0, 2, 0, -1, 7], 'int32'), 4),
  );
  expect(sums?.data).toEqual([5, 0, 2, 0]);
});

test('int32 sums stay int32', async () => {
  await tf.setBackend('thimble');
  const ids = tf.tensor1d([1, 1], 'int32');
  const sums = tf.unsortedSegmentSum(tf.tensor2d([1, 2, 3, 4], [2, 2], 'int32'), ids, 2);
  expect([sums.dtype, ...sums.dataSync()]).toEqual(['int32', 0, 0, 4, 6]);
});

test('segment ids of another length than the rows are refused', async () => {
  await tf.setBackend('thimble');
  const x = tf.ones([3, 2]);
  const ids = tf.tensor1d([0, 1], 'int32');
  expect(() => tf.unsortedSegmentSum(x, ids, 2)).toThrow(/one id for each of the 3 rows/);
});
