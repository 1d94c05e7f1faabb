// The model by which whole-number codes of a weight are coded bit by bit, in the manner of DeepCABAC.
import { AdaptiveBits, MixedBits } from './adaptive-bits.ts';
import type { BitCoder } from './arithmetic-decoder.ts';
import { corrupt } from './reader.ts';

/** Magnitudes up to this have a flag "is greater" each; what is beyond is an Exp-Golomb code. */
const FLAGS = 18;
const MOST_PREFIX = 31;
const SIGN_CONTEXTS = 3;
const LEVELS = 3;

/** Contexts by the five entries nearby. */
const NEAR = 32;
/** Classes of density. */
const DENSITIES = 12;
const ROWS = DENSITIES ** 3;

/** How an array of codes lies. */
export interface CodeShape {
  rows: number;
  columns: number;
  /**
   * Rows that far apart are alike too, beside those that follow one another: for weights on images that lie
   * pixel by pixel, the width of the image. At least 1.
   */
  lag: number;
}

/**
 * Codes an array of whole numbers, row by row: an encoder reads them, a decoder writes them. Each is binarised as
 *
 * - significance: is it other than 0
 * - sign, in the context of the signs of the entry before and of the one above
 * - flags "magnitude greater than 1", "than 2" ... up to 18, each with contexts of its own, by the magnitudes
 *   of those neighbours
 * - the rest as an Exp-Golomb code whose prefix and leading bits have contexts
 *
 * The significance is predicted from three contexts, whose predictions are mixed: the entries of the same
 * column one, two, lag - 1, lag and lag + 1 rows above; how dense this row is so far, and the rows one and lag
 * above were; the column.
 *
 * Papers: Wiedemann et al., "DeepCABAC: A Universal Compression Algorithm for Deep Neural Networks", 2020,
 * section III; Kirchhoffer et al., "Overview of the Neural Network Compression and Representation (NNR)
 * Standard", 2021, section V. Those have one context for each flag; mixing several is our addition.
 */
export function codeCodes(
  coder: BitCoder,
  codes: Int32Array,
  { rows, columns, lag }: CodeShape,
): void {
  const significance = new MixedBits(coder, 3, NEAR + ROWS + columns, {
    memory: 256,
    rate: 0.002,
    weight: 0.35,
  });
  const { contexts } = significance;
  const signs = new AdaptiveBits(coder, SIGN_CONTEXTS * SIGN_CONTEXTS);
  const magnitudes = new Magnitudes(coder);
  const densities = new Uint8Array(rows);
  // 1 where the entry that many entries back is other than 0; nothing lies before the first row.
  const is = (at: number) => (at >= 0 && codes[at] !== 0 ? 1 : 0);
  for (let row = 0; row < rows; row++) {
    const above = row > 0 ? densities[row - 1]! : 0;
    const far = row >= lag ? densities[row - lag]! : 0;
    const rowsContext = NEAR + DENSITIES * (above + DENSITIES * far);
    let inRow = 0;
    for (let column = 0; column < columns; column++) {
      const at = row * columns + column;
      const back = at - lag * columns;
      contexts[0] =
        is(at - columns) +
        2 * is(at - 2 * columns) +
        4 * is(back) +
        8 * is(back - columns) +
        (lag > 1 ? 16 * is(back + columns) : 0);
      contexts[1] = rowsContext + density(inRow, column);
      contexts[2] = NEAR + ROWS + column;
      const code = codes[at]!;
      if (significance.bit(code === 0 ? 0 : 1) === 0) continue;
      inRow++;
      const left = column > 0 ? codes[at - 1]! : 0;
      const up = row > 0 ? codes[at - columns]! : 0;
      const sides = SIGN_CONTEXTS * (Math.sign(left) + 1) + Math.sign(up) + 1;
      const negative = signs.bit(sides, code < 0 ? 1 : 0);
      const level = Math.min(LEVELS - 1, Math.max(Math.abs(left), Math.abs(up)));
      const magnitude = magnitudes.code(Math.abs(code), level);
      codes[at] = negative ? -magnitude : magnitude;
    }
    densities[row] = density(inRow, columns);
  }
}

/** Upper ends of the classes of density: two thirds of an octave apart, from 1/128 on. */
const BOUNDS = Float64Array.of(
  0.005,
  0.008,
  0.0125,
  0.02,
  0.03125,
  0.05,
  0.08,
  0.125,
  0.2,
  0.3125,
  0.5,
);

/** Which of 12 classes of density `count` of `seen` entries are. */
function density(count: number, seen: number): number {
  const share = (count + 0.4) / (seen + 2);
  let low = 0;
  while (low < BOUNDS.length && share >= BOUNDS[low]!) low++;
  return low;
}

/** Codes whole numbers from 1 on. */
class Magnitudes {
  readonly #flags: AdaptiveBits;
  readonly #prefix: AdaptiveBits;
  readonly #leading: AdaptiveBits;
  readonly #coder: BitCoder;

  constructor(coder: BitCoder) {
    this.#flags = new AdaptiveBits(coder, FLAGS * LEVELS);
    this.#prefix = new AdaptiveBits(coder, MOST_PREFIX + 1);
    this.#leading = new AdaptiveBits(coder, (MOST_PREFIX + 1) * 4);
    this.#coder = coder;
  }

  code(magnitude: number, level: number): number {
    for (let n = 1; n <= FLAGS; n++) {
      if (this.#flags.bit(level * FLAGS + n - 1, magnitude > n ? 1 : 0) === 0) return n;
    }
    return FLAGS + this.#rest(magnitude - FLAGS);
  }

  /** An Exp-Golomb code of a whole number from 1 on. */
  #rest(value: number): number {
    const length = 31 - Math.clz32(value);
    let bits = 0;
    while (this.#prefix.bit(bits, length > bits ? 1 : 0) === 1) {
      if (++bits >= MOST_PREFIX) throw corrupt('a code is too large');
    }
    let made = 1;
    for (let k = bits - 1; k >= 0; k--) {
      const bit = (value >> k) & 1;
      const modelled = k >= bits - 2;
      made =
        made * 2 +
        (modelled ? this.#leading.bit(bits * 4 + (made & 3), bit) : this.#coder.bit(0.5, bit));
    }
    return made;
  }
}
