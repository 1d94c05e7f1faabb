import { roundHalfToEven } from '@thimble/base';
import { expect, test } from 'vitest';

test.each([
  [0, 0],
  [0.5, 0],
  [1.5, 2],
  [2.5, 2],
  [2.500001, 3],
  [2.4, 2],
  [-0.5, 0],
  [-1.5, -2],
  [-2.5, -2],
  [-2.4, -2],
  [-2.6, -3],
  [2 ** 31 + 0.5, 2 ** 31],
])('%d is rounded to %d', (value, expected) => {
  expect(roundHalfToEven(value)).toBe(expected);
});

test('what is not finite stays as it is', () => {
  expect(roundHalfToEven(Number.NaN)).toBeNaN();
  expect(roundHalfToEven(Number.POSITIVE_INFINITY)).toBe(Number.POSITIVE_INFINITY);
});
