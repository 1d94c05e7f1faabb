// Comparisons that take NaN for a value like others.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'vitest';

/** Runs `compute` under a backend: types, shapes and values of its results. */
export async function read(
  backend: string,
  compute: () => tf.Tensor | tf.Tensor[],
): Promise<{ dtype: string; shape: number[]; data: number[] }[]> {
  await tf.setBackend(backend);
  const results = tf.tidy(compute);
  const list = Array.isArray(results) ? results : [results];
  const found = list.map((x) => ({ dtype: x.dtype, shape: x.shape, data: [...x.dataSync()] }));
  tf.dispose(list);
  return found;
}

/** Asserts that both backends agree in types, shapes and values: NaN with NaN, 0 with -0. */
export async function expectAlike(
  compute: () => tf.Tensor | tf.Tensor[],
  tolerance = 0,
): Promise<void> {
  const actual = await read('thimble', compute);
  const expected = await read('cpu', compute);
  expect(actual.length).toBe(expected.length);
  actual.forEach(({ dtype, shape, data }, which) => {
    const other = expected[which] as (typeof expected)[0];
    expect([dtype, shape]).toEqual([other.dtype, other.shape]);
    data.forEach((value, i) => {
      const wanted = other.data[i] as number;
      const near = Math.abs(value - wanted) <= tolerance * Math.max(1, Math.abs(wanted));
      if (!near && value !== wanted && !Object.is(value, wanted)) {
        expect.fail(`result ${which}, value ${i}: ${value} instead of ${wanted}`);
      }
    });
  });
}
