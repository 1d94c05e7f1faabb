import { describe, expect, test } from 'vitest';
import type { Decoded } from '../src/decode-idx.ts';
import { type DistortOptions, distortImages, resolveDistortion } from '../src/distort.ts';

const quiet = { signal: undefined, onProgress: false as const };

/** Images of one bright square of 10 x 10, near the middle. */
function squares(count: number): Decoded {
  const pixels = new Uint8Array(count * 784);
  for (let i = 0; i < count; i++) {
    for (let y = 9; y < 19; y++) pixels.fill(200, i * 784 + y * 28 + 9, i * 784 + y * 28 + 19);
  }
  return { pixels, labels: new Uint8Array(count), imageShape: [28, 28, 1] };
}

const STILL = { rotate: 0, scale: 0, shear: 0, shift: 0, elastic: 0, noise: 0 };

function distorted(
  count: number,
  options: DistortOptions,
  seed: number = 1,
  part: string = 'train',
) {
  return distortImages(squares(count), resolveDistortion('test', options), seed, part, quiet);
}

describe('distortImages', () => {
  test('without distortion changes no byte, and never the given ones', async () => {
    const given = squares(3);
    const result = await distortImages(given, resolveDistortion('test', STILL), 1, 'train', quiet);
    expect(result.pixels).toEqual(given.pixels);
    await distortImages(given, resolveDistortion('test', {}), 1, 'train', quiet);
    expect(given.pixels).toEqual(squares(3).pixels);
  });

  test('image i is the same whatever the count; seeds and parts differ', async () => {
    const five = await distorted(5, {});
    const two = await distorted(2, {});
    expect(five.pixels.slice(0, 2 * 784)).toEqual(two.pixels);
    expect((await distorted(2, {}, 2)).pixels).not.toEqual(two.pixels);
    expect((await distorted(2, {}, 1, 'test')).pixels).not.toEqual(two.pixels);
    expect(five.pixels.slice(0, 784)).not.toEqual(five.pixels.slice(784, 2 * 784));
  });

  test('shift moves the middle by at most so much, evenly to all sides', async () => {
    const { pixels } = await distorted(200, { ...STILL, shift: 3 });
    const middles = Array.from({ length: 200 }, (_, i) => {
      let [sum, x] = [0, 0];
      for (let k = 0; k < 784; k++) {
        sum += pixels[i * 784 + k]!;
        x += pixels[i * 784 + k]! * ((k % 28) - 13.5);
      }
      return x / sum;
    });
    expect(Math.max(...middles.map(Math.abs))).toBeLessThan(3.05);
    expect(Math.max(...middles)).toBeGreaterThan(2.5);
    expect(Math.min(...middles)).toBeLessThan(-2.5);
  });

  test('elastic displacements are as large as asked for', async () => {
    // A ramp shows the displacement itself: the value of a pixel is 8 times where it comes from.
    const ramp: Decoded = {
      pixels: Uint8Array.from({ length: 1500 * 784 }, (_, k) => 8 * (k % 28)),
      labels: new Uint8Array(1500),
      imageShape: [28, 28, 1],
    };
    const options = resolveDistortion('test', { ...STILL, elastic: 1.5, smoothness: 4 });
    const { pixels } = await distortImages(ramp, options, 1, 'train', quiet);
    const moved = (i: number, k: number): number => pixels[i * 784 + k]! / 8 - (k % 28);
    for (const place of [14 * 28 + 14, 8 * 28 + 8]) {
      let squares = 0;
      for (let i = 0; i < 1500; i++) squares += moved(i, place) ** 2;
      // The deviation of 1500 draws is itself off by 1.8 %, 0.03.
      expect(Math.abs(Math.sqrt(squares / 1500) - 1.5)).toBeLessThan(0.1);
    }
    // Neighbours move together, far pixels do not: Gaussian of sigma 4 has a correlation of
    // exp(-d^2 / (4 sigma^2)): 0.98 at 1 pixel, 0.105 at 12.
    const correlation = (distance: number): number => {
      let [product, first, second] = [0, 0, 0];
      for (let i = 0; i < 1500; i++) {
        const [a, b] = [moved(i, 14 * 28 + 7), moved(i, 14 * 28 + 7 + distance)];
        product += a * b;
        first += a * a;
        second += b * b;
      }
      return product / Math.sqrt(first * second);
    };
    expect(correlation(1)).toBeGreaterThan(0.95);
    expect(Math.abs(correlation(12) - 0.105)).toBeLessThan(0.2);
  });

  test('noise is as strong as asked for', async () => {
    const grey: Decoded = {
      pixels: new Uint8Array(20 * 784).fill(128),
      labels: new Uint8Array(20),
      imageShape: [28, 28, 1],
    };
    const options = resolveDistortion('test', { ...STILL, noise: 0.1 });
    const { pixels } = await distortImages(grey, options, 1, 'train', quiet);
    const mean = pixels.reduce((sum, value) => sum + value, 0) / pixels.length;
    const squares = pixels.reduce((sum, value) => sum + (value - mean) ** 2, 0) / pixels.length;
    expect(mean).toBeCloseTo(128, 0);
    expect(Math.sqrt(squares) / 255).toBeCloseTo(0.1, 2);
  });
});
