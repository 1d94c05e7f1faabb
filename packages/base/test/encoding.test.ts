import { type Encoding, encodedBits } from '@thimble/base';
import { expect, test } from 'vitest';

const dense: Encoding = { shape: [4, 5], values: { type: 'float', bits: 32 }, nonzero: 20 };

test('dense float32: 32 bits a weight', () => {
  expect(encodedBits(dense)).toBe(20 * 32);
});

test('masked: a bitmap and the kept weights, where that is smaller', () => {
  const mask = new Uint8Array(20).fill(0).fill(1, 0, 3);
  // 20 bits of bitmap + 3 weights of 32 bits = 116.
  expect(encodedBits({ ...dense, mask, nonzero: 3 })).toBe(116);
});

test('a mask that keeps all costs no bitmap', () => {
  expect(encodedBits({ ...dense, mask: new Uint8Array(20).fill(1) })).toBe(640);
});

test('affine per channel counts a float32 scale and a zero point per channel', () => {
  const scale = new Float32Array(5);
  const zeroPoint = new Int32Array(5);
  // 20 * 8 + 5 * 32 + 5 * 8 = 360.
  expect(
    encodedBits({ ...dense, values: { type: 'affine', bits: 8, scale, zeroPoint, axis: 1 } }),
  ).toBe(360);
});

test('codebook counts its centroids, binary its scales', () => {
  // 20 * 2 + 4 * 32 = 168; 20 + 5 * 32 = 180.
  const centroids = new Float32Array(4);
  expect(encodedBits({ ...dense, values: { type: 'codebook', bits: 2, centroids } })).toBe(168);
  const scale = new Float32Array(5);
  expect(encodedBits({ ...dense, values: { type: 'binary', bits: 1, scale, axis: 1 } })).toBe(180);
});
