// Matchers for tensors. Importing `@thimble/testing` installs them.
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'vitest';

export type Numbers = tf.Tensor | ArrayLike<number> | NestedNumbers;
type NestedNumbers = (number | NestedNumbers)[];

declare module 'vitest' {
  // biome-ignore lint/suspicious/noExplicitAny: the type that vitest declares
  interface Matchers<T = any> {
    /**
     * Passes when both have the same number of values, and every value is within `tolerance` of the
     * expected one: `|actual - expected| <= tolerance * max(1, |expected|)`. Two tensors must have the
     * same shape. NaN equals nothing. Default tolerance 1e-5.
     */
    toBeAllClose(expected: Numbers, tolerance?: number): T;
  }
}

/** The values of a tensor or of nested arrays in one flat array. */
export function valuesOf(numbers: Numbers): number[] {
  if (numbers instanceof tf.Tensor) return Array.from(numbers.dataSync());
  return Array.from(numbers as ArrayLike<number | NestedNumbers>).flatMap((entry) =>
    typeof entry === 'number' ? [entry] : valuesOf(entry),
  );
}

expect.extend({
  toBeAllClose(actual: Numbers, expected: Numbers, tolerance = 1e-5) {
    const fail = (message: string) => ({ pass: false, message: () => message });
    if (actual instanceof tf.Tensor && expected instanceof tf.Tensor) {
      const [a, b] = [actual.shape, expected.shape];
      if (a.join() !== b.join()) return fail(`expected shape [${b}], got [${a}]`);
    }
    const a = valuesOf(actual);
    const b = valuesOf(expected);
    if (a.length !== b.length) return fail(`expected ${b.length} values, got ${a.length}`);
    const bad = a.findIndex(
      (x, i) => !(Math.abs(x - b[i]!) <= tolerance * Math.max(1, Math.abs(b[i]!))),
    );
    if (bad >= 0) {
      return fail(
        `value ${bad} of ${a.length}: expected ${b[bad]}, got ${a[bad]} (tolerance ${tolerance})\n` +
          `expected ${preview(b)}\ngot      ${preview(a)}`,
      );
    }
    return { pass: true, message: () => `expected values to differ from ${preview(b)}` };
  },
});

function preview(values: number[]): string {
  return `[${values.slice(0, 12).join(', ')}${values.length > 12 ? ', ...' : ''}]`;
}
