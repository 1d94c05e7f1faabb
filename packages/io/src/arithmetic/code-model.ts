// The model by which whole-number codes of a weight are coded bit by bit, in the manner of DeepCABAC. The reading half
// is packages/kernels/assembly/decoding/codes.ts.
import { AdaptiveBits, MixedBits } from './bits.ts';
import type { BitSink } from './encoder.ts';

/** Leading bits of a magnitude that have contexts: those before it reaches this. */
const MODELLED = 32;
const LEVELS = 3;
/** Contexts of a magnitude's length. */
const LENGTHS = 32;

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

/** A row: what is known of it afterwards. */
interface Row {
  density: number;
  /** 1 where nothing is kept, 2 for a row that there is not. */
  empty: number;
}

const NO_ROW: Row = { density: 0, empty: 2 };

/**
 * Codes an array of whole numbers, row by row. Each row begins with a flag "is empty", in the context of those of the
 * rows one, lag and lag - 1 above; where it is not, each code is binarised as
 *
 * - significance: is it other than 0
 * - sign, in the context of the signs of the entry before and of the one above
 * - magnitude, as an Elias gamma code: how many bits it has, in unary, by the magnitudes of those neighbours; then its
 *   bits below the highest, each in the context of those above it as long as they make less than 32
 *
 * The significance is predicted from three contexts, whose predictions are mixed: the entries of the same
 * column one, two, lag - 1, lag and lag + 1 rows above; how dense this row is so far, and the rows one and lag
 * above were (the lowest class where they are empty); the column. Of the zeros, those in every fourth column teach the
 * mixture, four times as much: a quarter of the work.
 *
 * Papers: Wiedemann et al., "DeepCABAC: A Universal Compression Algorithm for Deep Neural Networks", 2020,
 * section III; Kirchhoffer et al., "Overview of the Neural Network Compression and Representation (NNR)
 * Standard", 2021, section V. Those have one context for each flag, and flags for each magnitude up to a bound; mixing
 * several, flags of rows and gamma codes are ours: half the bits to decode.
 */
export function codeCodes(
  sink: BitSink,
  codes: Int32Array,
  { rows, columns, lag }: CodeShape,
): void {
  const mixing = { memory: 256, learning: 14, weight: 22_938 };
  const significance = new MixedBits(sink, 3, NEAR + ROWS + columns, mixing);
  const { contexts } = significance;
  const flags = new AdaptiveBits(sink, 27);
  const signs = new AdaptiveBits(sink, 9);
  const magnitudes = new Magnitudes(sink);
  const done: Row[] = [];
  // 1 where the entry is other than 0; nothing lies before the first row.
  const is = (at: number) => (at >= 0 && codes[at] !== 0 ? 1 : 0);
  for (let row = 0; row < rows; row++) {
    const above = done[row - 1] ?? NO_ROW;
    const far = done[row - lag] ?? NO_ROW;
    const next = lag > 1 ? (done[row - lag + 1] ?? NO_ROW) : NO_ROW;
    const first = row * columns;
    const empty = codes.subarray(first, first + columns).every((code) => code === 0);
    flags.bit(9 * above.empty + 3 * far.empty + next.empty, empty ? 1 : 0);
    if (empty) {
      done.push({ density: 0, empty: 1 });
      continue;
    }
    const rowsContext = NEAR + DENSITIES * (above.density + DENSITIES * far.density);
    let inRow = 0;
    for (let column = 0; column < columns; column++) {
      const at = first + column;
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
      if (code !== 0) significance.bit(1);
      else significance.bit(0, column % 4 === 3 ? 4 : 0);
      if (code === 0) continue;
      inRow++;
      const left = column > 0 ? codes[at - 1]! : 0;
      const up = row > 0 ? codes[at - columns]! : 0;
      signs.bit(3 * (Math.sign(left) + 1) + Math.sign(up) + 1, code < 0 ? 1 : 0);
      const level = Math.min(LEVELS - 1, Math.max(Math.abs(left), Math.abs(up)));
      magnitudes.code(Math.abs(code), level);
    }
    done.push({ density: density(inRow, columns), empty: 0 });
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
  let low = 0;
  while (low < BOUNDS.length && count + 0.4 >= BOUNDS[low]! * (seen + 2)) low++;
  return low;
}

/** Codes whole numbers from 1 on. */
class Magnitudes {
  readonly #lengths: AdaptiveBits;
  readonly #leading: AdaptiveBits;
  readonly #sink: BitSink;

  constructor(sink: BitSink) {
    this.#lengths = new AdaptiveBits(sink, LENGTHS * LEVELS);
    this.#leading = new AdaptiveBits(sink, LENGTHS * MODELLED);
    this.#sink = sink;
  }

  code(magnitude: number, level: number): void {
    const length = 31 - Math.clz32(magnitude);
    for (let n = 0; n <= length; n++) this.#lengths.bit(level * LENGTHS + n, n < length ? 1 : 0);
    let above = 1;
    for (let k = length - 1; k >= 0; k--) {
      const bit = (magnitude >> k) & 1;
      if (above < MODELLED) this.#leading.bit(length * MODELLED + above, bit);
      else this.#sink.bit(32_768, bit);
      above = above * 2 + bit;
    }
  }
}
