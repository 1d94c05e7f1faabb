// Digits drawn by a program, so that everything runs with no data at hand. Skeletons of strokes with a
// random hand: points that wander, slant, size, thickness, a bend of the whole figure. They are easier
// and poorer than handwriting; what is measured on them says so.
import { checkInteger, checkOptions, type ProgressOption, Random } from '@thimble/base';
import { MNIST } from './catalogue.ts';
import type { Decoded } from './decode-idx.ts';
import { ImageDataset } from './image-dataset.ts';
import { chain, GLYPHS } from './strokes.ts';
import { type AffineMap, inverseMap } from './warp.ts';
import { forEachImage } from './work.ts';

export interface SyntheticDigitsOptions {
  /** Training images, at least 1. Default 12,000. */
  train?: number;
  /** Test images, at least 1. Default 2,000. */
  test?: number;
  /** Same seed, same images, whatever the number: the first 100 of 12,000 are the 100 of 100. Default 0. */
  seed?: number | string;
  /** Stops the drawing; the promise rejects with its reason. */
  signal?: AbortSignal;
  /** A bar on a terminal (`true`, the default), silence, or a function that gets every report. */
  onProgress?: ProgressOption;
}

/** How many are drawn unless told otherwise. */
export const SYNTHETIC_SIZES = { train: 12_000, test: 2_000 } as const;

const SIDE = 28;
/** Height and width of the box that a digit of normal size fills, in pixels. */
const BOX = 19;

/** Places a point of the unit box on the image, for one digit. */
interface Hand {
  map: AffineMap;
  /** The bend: x moves with a wave along y, and the other way round. Amplitudes in pixels. */
  bendX: number;
  bendY: number;
  phaseX: number;
  phaseY: number;
  waves: number;
  /** Half the thickness of the strokes, in pixels. */
  thickness: number;
}

function drawHand(random: Random): Hand {
  const size = random.uniform(0.75, 1.12);
  // inverseMap gives the map back; with the reciprocal factors and the opposite angle it is a map forth.
  const map = inverseMap({
    angle: random.normal(0, 0.13),
    scaleX: 1 / (size * random.uniform(0.62, 1.05)),
    scaleY: 1 / size,
    shear: random.normal(0.12, 0.2),
    shiftX: 0,
    shiftY: 0,
  });
  map.x0 = random.normal(0, 1.1);
  map.y0 = random.normal(0, 1.1);
  return {
    map,
    bendX: random.normal(0, 1.2),
    bendY: random.normal(0, 1.2),
    phaseX: random.uniform(0, 2 * Math.PI),
    phaseY: random.uniform(0, 2 * Math.PI),
    waves: random.uniform(2, 6),
    thickness: size * random.uniform(0.75, 1.75),
  };
}

/** Writes the point's place on the image over the numbers at `at` and `at + 1`. */
function place(points: number[], at: number, hand: Hand): void {
  const { map } = hand;
  const u = points[at]! - 0.5;
  const v = points[at + 1]! - 0.5;
  const x = BOX * u;
  const y = BOX * v;
  points[at] =
    (SIDE - 1) / 2 +
    map.xx * x +
    map.xy * y +
    map.x0 +
    hand.bendX * Math.sin(hand.waves * v + hand.phaseX);
  points[at + 1] =
    (SIDE - 1) / 2 +
    map.yx * x +
    map.yy * y +
    map.y0 +
    hand.bendY * Math.sin(hand.waves * u + hand.phaseY);
}

/** Inks the pixels near the piece from (x0, y0) to (x1, y1): full within the thickness, fading over a pixel. */
function inkPiece(
  ink: Float32Array,
  x0: number,
  y0: number,
  x1: number,
  y1: number,
  thickness: number,
): void {
  const reach = thickness + 1;
  const left = Math.max(0, Math.ceil(Math.min(x0, x1) - reach));
  const right = Math.min(SIDE - 1, Math.floor(Math.max(x0, x1) + reach));
  const top = Math.max(0, Math.ceil(Math.min(y0, y1) - reach));
  const bottom = Math.min(SIDE - 1, Math.floor(Math.max(y0, y1) + reach));
  const dx = x1 - x0;
  const dy = y1 - y0;
  const length = dx * dx + dy * dy;
  for (let y = top; y <= bottom; y++) {
    for (let x = left; x <= right; x++) {
      const along = length > 0 ? ((x - x0) * dx + (y - y0) * dy) / length : 0;
      const t = Math.min(1, Math.max(0, along));
      const ex = x - x0 - t * dx;
      const ey = y - y0 - t * dy;
      const amount = Math.min(1, thickness + 0.5 - Math.sqrt(ex * ex + ey * ey));
      const pixel = y * SIDE + x;
      if (amount > ink[pixel]!) ink[pixel] = amount;
    }
  }
}

/** Draws one digit: returns its class and leaves the image in `ink`, 0 to 1. */
function drawDigit(ink: Float32Array, random: Random): number {
  ink.fill(0);
  const label = random.integer(10);
  const variants = GLYPHS[label]!;
  const strokes = variants[random.integer(variants.length)]!;
  const hand = drawHand(random);
  const unsteady = random.uniform(0.005, 0.04);
  for (const { kind, points } of strokes) {
    const moved = points.map((value) => value + random.normal(0, unsteady));
    const pieces = chain(kind, moved);
    for (let i = 0; i < pieces.length; i += 2) place(pieces, i, hand);
    for (let i = 2; i < pieces.length; i += 2) {
      inkPiece(ink, pieces[i - 2]!, pieces[i - 1]!, pieces[i]!, pieces[i + 1]!, hand.thickness);
    }
  }
  return label;
}

/** Draws one part. Every image has a generator of its own, so the count changes no image. */
export async function drawDigits(
  count: number,
  seed: number | string,
  part: string,
  options: { signal: AbortSignal | undefined; onProgress: ProgressOption },
): Promise<Decoded> {
  const pixels = new Uint8Array(count * SIDE * SIDE);
  const labels = new Uint8Array(count);
  const ink = new Float32Array(SIDE * SIDE);
  await forEachImage(count, `drawing synthetic digits (${part})`, options, (index) => {
    const random = new Random(seed, part, index);
    labels[index] = drawDigit(ink, random);
    const start = index * SIDE * SIDE;
    for (let k = 0; k < ink.length; k++) {
      // A little grain, so that no pixel of ink is a constant.
      if (ink[k]! > 0) pixels[start + k] = Math.round(ink[k]! * random.uniform(215, 255));
    }
  });
  return { pixels, labels, imageShape: [SIDE, SIDE, 1] };
}

/** How the source of drawn digits is named wherever they are used. */
export const SYNTHETIC_SOURCE = 'synthetic digits (drawn, not real data)';

/**
 * Draws a data set of digits in the form of MNIST: 28 x 28, ten classes, roughly equal in number.
 * `synthetic` is true and `source` says "synthetic digits (drawn, not real data)". Takes about a tenth
 * of a millisecond per image.
 *
 * @example
 * const { train, test } = await syntheticDigits({ train: 2000, test: 500, seed: 1 });
 */
export async function syntheticDigits(
  options: SyntheticDigitsOptions = {},
): Promise<{ train: ImageDataset; test: ImageDataset }> {
  checkOptions('syntheticDigits', options, ['train', 'test', 'seed', 'signal', 'onProgress']);
  const { seed = 0, signal, onProgress = true } = options;
  const { train, test } = { ...SYNTHETIC_SIZES, ...options };
  checkInteger('syntheticDigits', 'train', train, 1);
  checkInteger('syntheticDigits', 'test', test, 1);
  const about = { classNames: MNIST.classNames, source: SYNTHETIC_SOURCE, synthetic: true };
  const draw = async (part: string, count: number): Promise<ImageDataset> =>
    new ImageDataset({
      ...(await drawDigits(count, seed, part, { signal, onProgress })),
      ...about,
      name: `synthetic digits ${part}`,
    });
  return { train: await draw('train', train), test: await draw('test', test) };
}
