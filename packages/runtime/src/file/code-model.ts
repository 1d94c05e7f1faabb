// The model by which whole-number codes of a weight are coded bit by bit, in the manner of DeepCABAC.
import { AdaptiveBits, MixedBits } from './adaptive-bits.ts';
import type { BitCoder } from './arithmetic-decoder.ts';
import { corrupt } from './reader.ts';

/** Magnitudes up to this have a flag "is greater" each; what is beyond is an Exp-Golomb code. */
const FLAGS = 18;
const MOST_PREFIX = 31;
const SIGN_CONTEXTS = 3;
const LEVELS = 3;

const NEAR = 27;
const DENSITIES = 12;
const INPUTS = 4;

/** How an array of codes lies: rows of `columns` entries. */
export interface CodeShape {
  rows: number;
  columns: number;
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
 * The significance is predicted from four contexts, whose predictions are mixed: how dense the row is so far,
 * how dense the column is so far, the entries nearby, and row and column together.
 *
 * Papers: Wiedemann et al., "DeepCABAC: A Universal Compression Algorithm for Deep Neural Networks", 2020,
 * section III; Kirchhoffer et al., "Overview of the Neural Network Compression and Representation (NNR)
 * Standard", 2021, section V. Those have one context for each flag; mixing several is our addition.
 */
export function codeCodes(coder: BitCoder, codes: Int32Array, { rows, columns }: CodeShape): void {
  const significance = new MixedBits(coder, INPUTS, NEAR + DENSITIES * (2 + DENSITIES), {
    memory: 256,
    rate: 0.015,
    weight: 0.3,
  });
  const { contexts } = significance;
  const signs = new AdaptiveBits(coder, SIGN_CONTEXTS * SIGN_CONTEXTS);
  const magnitudes = new Magnitudes(coder);
  /** Of each column, how many entries so far were not 0. */
  const inColumn = new Int32Array(columns);
  for (let row = 0; row < rows; row++) {
    let inRow = 0;
    const start = row * columns;
    for (let column = 0; column < columns; column++) {
      const at = start + column;
      const left = column > 0 ? codes[at - 1]! : 0;
      const left2 = column > 1 ? codes[at - 2]! : 0;
      const up = row > 0 ? codes[at - columns]! : 0;
      const up2 = row > 1 ? codes[at - 2 * columns]! : 0;
      const upRight = row > 0 && column + 1 < columns ? codes[at - columns + 1]! : 0;
      const near =
        Number(left !== 0) +
        Number(left2 !== 0) +
        3 * (Number(up !== 0) + Number(up2 !== 0)) +
        9 * Number(upRight !== 0);
      const rowDensity = density(inRow, column);
      const columnDensity = density(inColumn[column]!, row);
      contexts[0] = near;
      contexts[1] = NEAR + rowDensity;
      contexts[2] = NEAR + DENSITIES + columnDensity;
      contexts[3] = NEAR + DENSITIES * (2 + rowDensity) + columnDensity;
      const code = codes[at]!;
      if (significance.bit(code === 0 ? 0 : 1) === 0) {
        codes[at] = 0;
        continue;
      }
      inRow++;
      inColumn[column]!++;
      const side = SIGN_CONTEXTS * (Math.sign(left) + 1) + Math.sign(up) + 1;
      const negative = signs.bit(side, code < 0 ? 1 : 0);
      const level = Math.min(LEVELS - 1, Math.max(Math.abs(left), Math.abs(up)));
      const magnitude = magnitudes.code(Math.abs(code), level);
      codes[at] = negative ? -magnitude : magnitude;
    }
  }
}

/** Which of 12 classes of density `count` of `seen` entries are: two to an octave, from 1/64 to 1. */
function density(count: number, seen: number): number {
  const share = (count + 0.4) / (seen + 2);
  if (share < 1 / 16)
    return share < 1 / 45
      ? share < 1 / 90
        ? share < 1 / 180
          ? 0
          : 1
        : 2
      : share < 1 / 23
        ? 3
        : share < 1 / 19
          ? 4
          : 5;
  return share < 1 / 4
    ? share < 1 / 8
      ? 6
      : share < 1 / 5.6
        ? 7
        : 8
    : share < 1 / 2
      ? share < 0.35
        ? 9
        : 10
      : 11;
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
