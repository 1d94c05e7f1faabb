// A harder MNIST. Every image is distorted once, affinely and elastically (P. Y. Simard et al. 2003),
// with a generator of its own, so the result depends on the seed and the image's number alone.
import { checkOptions, checkRange, type ProgressOption, Random } from '@thimble/base';
import type { Decoded } from './decode-idx.ts';
import { inverseMap, warp } from './warp.ts';
import { forEachImage } from './work.ts';

/** How strongly images are distorted. */
export interface DistortOptions {
  /** Largest turn either way, in degrees. */
  rotate?: number;
  /** Largest relative change of width and of height, each drawn by itself; below 1. */
  scale?: number;
  /** Largest slant, in pixels to the side per pixel down. */
  shear?: number;
  /** Largest shift, in pixels. */
  shift?: number;
  /** Standard deviation of the elastic displacements, in pixels. */
  elastic?: number;
  /** Distance over which the elastic displacements stay alike, in pixels: the Gaussian's sigma. At least 2. */
  smoothness?: number;
  /** Standard deviation of uniform noise added to every pixel, where 1 is full white. */
  noise?: number;
}

/**
 * What `distort: true` means. Chosen by experiment so that a small convolutional net errs 3 to 5 %
 * (benchmarks/results/difficulty.json). Tried and too much: rotate 25, scale 0.25, shear 0.3, shift 3,
 * elastic 1.6 and noise 0.15 made some digits that nobody can read.
 */
export const DISTORT_DEFAULTS: Required<DistortOptions> = {
  rotate: 15,
  scale: 0.2,
  shear: 0.2,
  shift: 2,
  elastic: 1.1,
  smoothness: 4,
  noise: 0,
};

/** Checks the options and fills in defaults. */
export function resolveDistortion(
  owner: string,
  options: DistortOptions,
): Required<DistortOptions> {
  checkOptions(`${owner}: distort`, options, Object.keys(DISTORT_DEFAULTS));
  const resolved = { ...DISTORT_DEFAULTS, ...options };
  const limits: Record<keyof DistortOptions, [number, number]> = {
    rotate: [0, 180],
    scale: [0, 0.95],
    shear: [0, 2],
    shift: [0, 28],
    elastic: [0, 28],
    smoothness: [2, 28],
    noise: [0, 1],
  };
  for (const [name, [min, max]] of Object.entries(limits)) {
    checkRange(`${owner}: distort`, name, resolved[name as keyof DistortOptions], min, max);
  }
  return resolved;
}

/** Half the width of a uniform distribution of deviation 1. */
const DEVIATION_1 = Math.sqrt(3);

/** Points of the noise grid that reach a pixel: those within three sigmas. */
const TAPS = 6;

/**
 * Draws smooth random fields with mean 0 and deviation 1 at every pixel.
 *
 * Simard blurs white noise of one number per pixel with a Gaussian; of that only the slow part is left.
 * Here noise on a grid of points a sigma apart is spread with the same Gaussian, first down the columns,
 * then along the rows: at sigma 4 a fifth of the blur's work. The noise is uniform: sums of three dozen
 * are Gaussian enough, and cost a quarter of Gaussian noise.
 */
function fieldDrawer(side: number, sigma: number): (field: Float32Array, random: Random) => void {
  // Point p lies at (p - 2) * sigma; pixel x sees the points from floor(x / sigma) on.
  const points = Math.floor((side - 1) / sigma) + TAPS;
  const first = Uint8Array.from({ length: side }, (_, x) => Math.floor(x / sigma));
  const weights = new Float64Array(side * TAPS);
  for (let x = 0; x < side; x++) {
    let squares = 0;
    for (let t = 0; t < TAPS; t++) {
      const distance = x / sigma - (first[x]! + t - 2);
      const weight = Math.exp(-0.5 * distance * distance);
      weights[x * TAPS + t] = weight;
      squares += weight * weight;
    }
    for (let t = 0; t < TAPS; t++) weights[x * TAPS + t]! /= Math.sqrt(squares);
  }
  const noise = new Float64Array(points * points);
  const row = new Float64Array(points);
  return (field, random) => {
    for (let i = 0; i < noise.length; i++) noise[i] = random.uniform(-DEVIATION_1, DEVIATION_1);
    for (let y = 0; y < side; y++) {
      row.fill(0);
      for (let t = 0; t < TAPS; t++) {
        const weight = weights[y * TAPS + t]!;
        const start = (first[y]! + t) * points;
        for (let q = 0; q < points; q++) row[q]! += weight * noise[start + q]!;
      }
      for (let x = 0; x < side; x++) {
        let sum = 0;
        const start = first[x]!;
        for (let t = 0; t < TAPS; t++) sum += weights[x * TAPS + t]! * row[start + t]!;
        field[y * side + x] = sum;
      }
    }
  };
}

/**
 * Distorts every image; the given pixels stay as they are.
 *
 * @param part makes the generators of training and test images differ.
 */
export async function distortImages(
  images: Decoded,
  distortion: Required<DistortOptions>,
  seed: number | string,
  part: string,
  options: { signal: AbortSignal | undefined; onProgress: ProgressOption },
): Promise<Decoded> {
  const { rotate, scale, shear, shift, elastic, smoothness, noise } = distortion;
  const [height, width] = images.imageShape;
  const size = height * width;
  const amplitude = 255 * DEVIATION_1 * noise;
  const drawField = fieldDrawer(width, smoothness);
  const from = new Float32Array(size);
  const to = new Float32Array(size);
  const bend = { dx: new Float32Array(size), dy: new Float32Array(size) };
  const pixels = new Uint8Array(images.pixels.length);
  await forEachImage(images.labels.length, `distorting images (${part})`, options, (index) => {
    const random = new Random(seed, 'distort', part, index);
    const start = index * size;
    for (let k = 0; k < size; k++) from[k] = images.pixels[start + k]!;
    drawField(bend.dx, random);
    drawField(bend.dy, random);
    for (let k = 0; k < size; k++) {
      bend.dx[k]! *= elastic;
      bend.dy[k]! *= elastic;
    }
    const map = inverseMap({
      angle: random.uniform(-rotate, rotate) * (Math.PI / 180),
      scaleX: 1 + random.uniform(-scale, scale),
      scaleY: 1 + random.uniform(-scale, scale),
      shear: random.uniform(-shear, shear),
      shiftX: random.uniform(-shift, shift),
      shiftY: random.uniform(-shift, shift),
    });
    warp(from, to, images.imageShape, map, bend);
    for (let k = 0; k < size; k++) {
      const value = amplitude > 0 ? to[k]! + random.uniform(-amplitude, amplitude) : to[k]!;
      pixels[start + k] = Math.min(255, Math.max(0, Math.round(value)));
    }
  });
  return { ...images, pixels };
}
