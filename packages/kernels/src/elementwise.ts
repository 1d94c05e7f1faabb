// Signatures of the kernels that go value by value, and of those that copy.
import type { Pointer } from './sizes.ts';

/** The part of `Kernels` that knows nothing of layers: functions of values, comparisons, rounding, copies. */
export interface ElementwiseKernels {
  /** out[i] = x[i] cut to low ... high; a NaN stays. */
  clamp(x: Pointer, out: Pointer, count: number, low: number, high: number): void;
  /**
   * out[i] = max(a[i], b[i]), with `least` the minimum; NaN if either is. With `oneA` the first value of a
   * stands for all, with `oneB` that of b.
   */
  extreme(
    a: Pointer,
    b: Pointer,
    out: Pointer,
    count: number,
    oneA: boolean,
    oneB: boolean,
    least: boolean,
  ): void;
  /**
   * out[i] = 1 where a[i] = b[i] (kind 0), a[i] != b[i] (1), a[i] < b[i] (2), a[i] <= b[i] (3), else 0, in bytes.
   * With `oneA` the first value of a stands for all, with `oneB` that of b. Here and in the next three `count` may
   * be 0.
   */
  compare(
    a: Pointer,
    b: Pointer,
    out: Pointer,
    count: number,
    oneA: boolean,
    oneB: boolean,
    kind: number,
  ): void;
  /** out[i] = a[i] and b[i], with `either` a[i] or b[i], in bytes of which 0 is false; `oneA` and `oneB` as above. */
  logical(
    a: Pointer,
    b: Pointer,
    out: Pointer,
    count: number,
    oneA: boolean,
    oneB: boolean,
    either: boolean,
  ): void;
  /** out[i] = 1 where the byte x[i] is 0, else 0. */
  logicalNot(x: Pointer, out: Pointer, count: number): void;
  /** out[i] = t[i] where the byte condition[i] is not 0, else e[i]; of values of four bytes. */
  select(condition: Pointer, t: Pointer, e: Pointer, out: Pointer, count: number): void;
  /**
   * out[i] = a[i] b[i]. With `oneA` the first value of a stands for all, with `oneB` that of b. Out may be a
   * or b.
   */
  multiply(a: Pointer, b: Pointer, out: Pointer, count: number, oneA: boolean, oneB: boolean): void;
  /**
   * Bits of the whole blocks of 128 values of a mask, 16 bytes to a block, for `applyMask`; 0 where a value of the mask
   * is neither 0 nor 1.
   */
  maskBits(mask: Pointer, bits: Pointer, count: number): number;
  /** out[i] = x[i] where mask[i] is 1, else 0, with the bits of that mask. Out may be x. */
  applyMask(x: Pointer, bits: Pointer, mask: Pointer, out: Pointer, count: number): void;
  /** out[rows, columns] = x[rows, columns] row[columns]. */
  multiplyRows(x: Pointer, row: Pointer, out: Pointer, rows: number, columns: number): void;
  /** out[i] = f(x[i]), f one of `FUNCTIONS`, to two units in the last place. `count` may be 0. */
  apply(x: Pointer, out: Pointer, count: number, kind: number): void;
  /** out[i] = 1 where x[i] > 0, -1 where x[i] < 0, else 0. */
  sign(x: Pointer, out: Pointer, count: number): void;
  /** out[i] = -1 where x[i] < 0, else 1; a NaN stays. */
  binarySign(x: Pointer, out: Pointer, count: number): void;
  /**
   * out[i] = 1 where 2 u[i] - 1 < x[i], else -1, with u[i] in [0, 1) the upper 24 bits of a hash of i and two
   * 32-bit words: the finalizer of MurmurHash3 of `i ^ first`, with `^ second` after its first product.
   */
  binarySample(x: Pointer, out: Pointer, count: number, first: number, second: number): void;
  /**
   * out[i] = round(x[i] / scale) cut to low ... high, halves to even; a NaN stays. The values are `rows` times
   * `channels` runs of `inner` values; every channel has a scale, and with `own` bounds of its own, else
   * the first pair is for all.
   */
  codes(
    x: Pointer,
    scale: Pointer,
    low: Pointer,
    high: Pointer,
    out: Pointer,
    rows: number,
    channels: number,
    inner: number,
    own: boolean,
  ): void;
  /** out[i] = dy[i] / scale where low scale <= x[i] <= high scale, else 0; laid out as for `codes`. */
  codesGradient(
    dy: Pointer,
    x: Pointer,
    scale: Pointer,
    low: Pointer,
    high: Pointer,
    out: Pointer,
    rows: number,
    channels: number,
    inner: number,
    own: boolean,
  ): void;
  /**
   * out[i] = scale (clip(round(x[i] / scale) + z, lowest, highest) - z), halves to even, on the grid over the
   * range of each channel, 0 included: `scale = (max - min) / (highest - lowest)` and
   * `z = clip(floor(lowest - min / scale + 0.5))`, or with `symmetric` `2 max(-min, max)` for the width and
   * `middle` for z. grid[3, channels] gets scales, `lowest - z` and `highest - z`. Laid out as for `codes`; all
   * NaN in a channel with one.
   */
  fakeQuant(
    x: Pointer,
    grid: Pointer,
    out: Pointer,
    rows: number,
    channels: number,
    inner: number,
    lowest: number,
    highest: number,
    middle: number,
    symmetric: boolean,
  ): void;
  /** out[i] = dy[i] where x[i] lies between the ends of its channel's grid, made by `fakeQuant`, else 0. */
  fakeQuantGradient(
    dy: Pointer,
    x: Pointer,
    grid: Pointer,
    out: Pointer,
    rows: number,
    channels: number,
    inner: number,
  ): void;
  /** out[i] = alpha[i] x[i] where x[i] < 0, else x[i]. With `one` the first alpha stands for all. */
  prelu(x: Pointer, alpha: Pointer, out: Pointer, count: number, one: boolean): void;
  /** The position of the first int32 index outside 0 ... size - 1; -1 where there is none. */
  firstOutside(indices: Pointer, count: number, size: number): number;
  /** out[i] = x[indices[i]] for blocks of `bytes` bytes. The indices are not checked. */
  gatherBlocks(x: Pointer, indices: Pointer, out: Pointer, count: number, bytes: number): void;
  /**
   * Copies `count` blocks of `bytes` bytes, which may be 0: one every `fromStep` bytes, backwards where that is
   * negative, to every `toStep`.
   */
  copyBlocks(
    from: Pointer,
    to: Pointer,
    count: number,
    bytes: number,
    fromStep: number,
    toStep: number,
  ): void;
}
