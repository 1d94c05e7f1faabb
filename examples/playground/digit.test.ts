import { expect, test } from 'vitest';
import { fromBase64, toDigit } from './page/digit.ts';

const SIDE = 140;

/** A filled box on the pad. */
function box(left: number, top: number, width: number, height: number): Uint8ClampedArray {
  const ink = new Uint8ClampedArray(SIDE * SIDE);
  for (let y = top; y < top + height; y++) {
    ink.fill(255, y * SIDE + left, y * SIDE + left + width);
  }
  return ink;
}

test('no ink is no digit', () => {
  expect(toDigit(new Uint8ClampedArray(SIDE * SIDE), SIDE)).toBeUndefined();
});

test.each([
  [10, 20, 30, 60],
  [100, 5, 20, 40],
])('a box at %d, %d becomes 10 by 20 pixels in the middle', (left, top, width, height) => {
  const image = toDigit(box(left, top, width, height), SIDE)!;
  for (const [i, value] of image.entries()) {
    const [row, column] = [Math.floor(i / 28), i % 28];
    const inside = row >= 4 && row < 24 && column >= 9 && column < 19;
    expect(value, `${row}, ${column}`).toBe(inside ? 1 : 0);
  }
});

test('the middle is the centre of mass, not of the box', () => {
  const ink = box(20, 20, 40, 80);
  for (let y = 20; y < 60; y++) ink.fill(0, y * SIDE + 40, y * SIDE + 60); // an L: heavier below
  const image = toDigit(ink, SIDE)!;
  let [mass, x, y] = [0, 0, 0];
  for (const [i, value] of image.entries()) {
    mass += value;
    x += value * ((i % 28) + 0.5);
    y += value * (Math.floor(i / 28) + 0.5);
  }
  // Its box has its middle elsewhere.
  expect(Math.abs(x / mass - 14)).toBeLessThan(0.15);
  expect(Math.abs(y / mass - 14)).toBeLessThan(0.15);
});

test('digits of the test set come as bytes', () => {
  expect([...fromBase64('AP9/')]).toEqual([0, 1, Math.fround(127 / 255)]);
});
