import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { OptionError, Random } from '@thimble/base';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { ImageDataset } from '../src/index.ts';
import { inverseMap, warp } from '../src/warp.ts';

beforeAll(async () => {
  tf.env().set('IS_TEST', true); // No greeting on the console.
  await tf.setBackend('cpu');
});

const [height, width, channels] = [6, 7, 2];

/** Images whose values are all different and not 0. */
function made(): ImageDataset {
  return new ImageDataset({
    pixels: Uint8Array.from({ length: 2 * 84 }, (_, k) => (k % 84) + 1),
    labels: new Uint8Array(2),
    imageShape: [height, width, channels],
    classNames: ['a'],
    name: 'made',
    source: 'made',
  });
}

function valuesOf(data: ImageDataset, random?: Random): number[] {
  return tf.tidy(() => [...data.batch([0], random).images.dataSync()]);
}

/** The byte at a place of the image of `valuesOf`; 0 outside. */
function at(values: number[], y: number, x: number, c: number): number {
  if (y < 0 || y >= height || x < 0 || x >= width) return 0;
  return Math.round(255 * values[(y * width + x) * channels + c]!);
}

/** The shifts, at most `reach` each way, that turn one image into the other. */
function shiftsBetween(before: number[], after: number[], reach: number): [number, number][] {
  const found: [number, number][] = [];
  for (let down = -reach; down <= reach; down++) {
    for (let right = -reach; right <= reach; right++) {
      let same = true;
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          for (let c = 0; c < channels; c++) {
            same &&= at(after, y, x, c) === at(before, y - down, x - right, c);
          }
        }
      }
      if (same) found.push([right, down]);
    }
  }
  return found;
}

describe('jitter', () => {
  test('shifts by at most 2 pixels, keeps what stays inside and brings in 0', () => {
    const before = valuesOf(made());
    const seen = new Set<string>();
    for (let seed = 0; seed < 200; seed++) {
      const shifts = shiftsBetween(before, valuesOf(made().jitter(2), new Random(seed)), 3);
      expect(shifts).toHaveLength(1);
      const [right, down] = shifts[0]!;
      expect(Math.max(Math.abs(right), Math.abs(down))).toBeLessThanOrEqual(2);
      seen.add(`${right} ${down}`);
    }
    // All 25 shifts come up: 200 draws miss one of them with a chance of 25 (24/25)^200 = 0.7 %.
    expect(seen.size).toBe(25);
  });

  test('shifts by more than the image leave nothing', () => {
    const values = valuesOf(made().jitter(100), new Random(1));
    expect(values.every((value) => value === 0)).toBe(true);
  });

  test('is driven by the generator alone, image by image', () => {
    const data = made().jitter(2);
    expect(data.varies).toBe(true);
    expect(valuesOf(data, new Random(5))).toEqual(valuesOf(data, new Random(5)));
    const { images, labels } = data.batch([0, 0, 0, 0, 0, 0], new Random(5));
    expect(new Set(images.arraySync().map(String)).size).toBeGreaterThan(1);
    tf.dispose([images, labels]);
  });

  test('without a generator images come unmoved', () => {
    expect(valuesOf(made().jitter(2).augment({ rotate: 90 }))).toEqual(valuesOf(made()));
  });

  test('stays with what is chosen from it', () => {
    const [train, validation] = made().jitter(2).split(1, 1);
    expect([train.varies, validation.varies, made().jitter().take(1).varies]).toEqual([
      true,
      true,
      true,
    ]);
  });

  test('rejects bad reaches', () => {
    for (const pixels of [-1, 0.5, Number.NaN])
      expect(() => made().jitter(pixels)).toThrow(OptionError);
  });
});

describe('augment', () => {
  test('without movement leaves images as they are, to the bit', () => {
    expect(valuesOf(made().augment(), new Random(1))).toEqual(valuesOf(made()));
    expect(valuesOf(made().augment({ rotate: 0, scale: 0 }), new Random(1))).toEqual(
      valuesOf(made()),
    );
  });

  test('mirrors about half of the images, to the bit', () => {
    const before = valuesOf(made());
    const mirrored = Array.from({ length: 84 }, (_, k) => {
      const [y, x, c] = [Math.floor(k / 14), Math.floor(k / 2) % 7, k % 2];
      return before[y * 14 + (6 - x) * 2 + c]!;
    });
    let flips = 0;
    for (let seed = 0; seed < 100; seed++) {
      const after = valuesOf(made().augment({ flip: true }), new Random(seed));
      const flipped = String(after) === String(mirrored);
      if (!flipped) expect(after).toEqual(before);
      flips += Number(flipped);
    }
    expect(flips).toBeGreaterThan(30);
    expect(flips).toBeLessThan(70);
  });

  test('mirrors before it moves', () => {
    const mirrored = Uint8Array.from({ length: 84 }, (_, k) => {
      const [y, x, c] = [Math.floor(k / 14), Math.floor(k / 2) % 7, k % 2];
      return y * 14 + (6 - x) * 2 + c + 1;
    });
    const reversed = new ImageDataset({
      pixels: mirrored,
      labels: new Uint8Array(1),
      imageShape: [height, width, channels],
      classNames: ['a'],
      name: 'mirrored',
      source: 'made',
    });
    const moves = { rotate: 60, shift: 3, shear: 0.5 };
    const rounded = (values: number[]): number[] => values.map((v) => Math.round(1e4 * v));
    let flips = 0;
    for (let seed = 0; seed < 20; seed++) {
      const after = rounded(valuesOf(made().augment({ ...moves, flip: true }), new Random(seed)));
      const plain = rounded(valuesOf(made().augment(moves), new Random(seed)));
      if (String(after) === String(plain)) continue;
      flips += 1;
      expect(after).toEqual(rounded(valuesOf(reversed.augment(moves), new Random(seed))));
    }
    expect(flips).toBeGreaterThan(3);
  });

  test('keeps values between the smallest and largest, and moves them', () => {
    fc.assert(
      fc.property(fc.integer(), (seed) => {
        const moving = made().augment({ shift: 2, rotate: 45, scale: 0.3, shear: 0.3 });
        const values = valuesOf(moving, new Random(seed));
        expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
        expect(Math.max(...values)).toBeLessThanOrEqual(84 / 255 + 1e-6);
        expect(values).not.toEqual(valuesOf(made()));
      }),
      { seed: 3, numRuns: 40 },
    );
  });

  test('rejects bad options by name', () => {
    const bad = (options: object, message: string): void => {
      expect(() => made().augment(options)).toThrow(OptionError);
      expect(() => made().augment(options)).toThrow(message);
    };
    bad({ rotation: 3 }, 'augment: unknown option "rotation"');
    bad({ rotate: 181 }, 'rotate must be a number from 0 to 180');
    bad({ scale: 1 }, 'scale');
    bad({ shift: -1 }, 'shift');
    bad({ shear: Number.NaN }, 'shear');
  });
});

describe('warp', () => {
  const still = { angle: 0, scaleX: 1, scaleY: 1, shear: 0, shiftX: 0, shiftY: 0 };
  const warped = (image: number[], shape: [number, number, number], change: object): number[] => {
    const to = new Float32Array(image.length);
    warp(Float32Array.from(image), to, shape, inverseMap({ ...still, ...change }));
    return [...to].map((value) => Math.round(1e5 * value) / 1e5);
  };
  // biome-ignore format: images as they are seen
  const image = [
    1, 2, 3,
    4, 5, 6,
    7, 8, 9,
  ];

  test('a quarter turn is clockwise', () => {
    // biome-ignore format: images as they are seen
    expect(warped(image, [3, 3, 1], { angle: Math.PI / 2 })).toEqual([
      7, 4, 1,
      8, 5, 2,
      9, 6, 3,
    ]);
  });

  test('shifts go right and down, with half pixels in between', () => {
    // biome-ignore format: images as they are seen
    expect(warped(image, [3, 3, 1], { shiftX: 1, shiftY: 1 })).toEqual([
      0, 0, 0,
      0, 1, 2,
      0, 4, 5,
    ]);
    // Half a pixel to the right: the mean of each pixel and its left neighbour, 0 beyond the edge.
    expect(warped([2, 4, 6], [1, 3, 1], { shiftX: 0.5 })).toEqual([1, 3, 5]);
  });

  test('scaling is about the centre', () => {
    // Twice as wide: the pixel one to the right shows what lay half a pixel to the right.
    expect(warped([2, 4, 6], [1, 3, 1], { scaleX: 2 })).toEqual([3, 4, 5]);
    expect(warped([2, 4, 6], [3, 1, 1], { scaleY: 0.5 })).toEqual([0, 4, 0]);
  });

  test('shear moves lower rows to the right', () => {
    // biome-ignore format: images as they are seen
    expect(warped(image, [3, 3, 1], { shear: 1 })).toEqual([
      2, 3, 0,
      4, 5, 6,
      0, 7, 8,
    ]);
  });

  test('all together are scale, shear, turn and shift in this order', () => {
    // The corner (1, 1) from the centre: scaled by (2, 1) -> (2, 1), sheared by 1 -> (3, 1), turned by a
    // quarter clockwise (x, y) -> (-y, x) -> (-1, 3), shifted by (2, -3) -> (1, 0).
    const map = inverseMap({
      angle: Math.PI / 2,
      scaleX: 2,
      scaleY: 1,
      shear: 1,
      shiftX: 2,
      shiftY: -3,
    });
    expect(map.xx * 1 + map.xy * 0 + map.x0).toBeCloseTo(1, 12);
    expect(map.yx * 1 + map.yy * 0 + map.y0).toBeCloseTo(1, 12);
  });
});
