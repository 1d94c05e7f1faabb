// What a stored weight is, as plain data: the only thing that cost counting and file writing look at.

/** How the values of a weight tensor are coded, before any entropy coding. */
export type ValueCode =
  | { type: 'float'; bits: 32 | 16 }
  /**
   * value = scale * (code - zeroPoint); one scale and zero point per slice along `axis`, or one in all. With
   * `group`: one per run of `group` entries along `axis` (the last may be shorter), for every position
   * along the other axes, row by row.
   */
  | {
      type: 'affine';
      bits: number;
      scale: Float32Array;
      zeroPoint: Int32Array;
      axis: number | null;
      group?: number;
    }
  /**
   * value = centroids[code]; with an `axis`, one codebook after the other, all of one size, for the slices
   * along it
   */
  | { type: 'codebook'; bits: number; centroids: Float32Array; axis?: number | null }
  /** value = 0 or +-2^n, n whole, from `top` - 2^(bits-2) + 1 to `top`; the code 0 is the value 0 */
  | { type: 'powersOfTwo'; bits: number; top: number }
  /** value = weights[hash of the entry's number] * (+1 or -1, by another hash): entries take no bits */
  | { type: 'hashed'; bits: 0; weights: Float32Array; seed: number }
  /** value = scale * (+1 or -1); one scale per slice along `axis`, or one in all; none: it is 1. */
  | { type: 'binary'; bits: 1; scale: Float32Array; axis: number | null };

/** A stored weight: its shape, how its values are coded, and which of its entries are kept. */
export interface Encoding {
  shape: number[];
  values: ValueCode;
  /** 1 where the weight is kept, 0 where it is pruned; absent when all are kept. */
  mask?: Uint8Array;
  /** Entries that are not zero after coding. */
  nonzero: number;
}

/** Number of entries of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, n) => product * n, 1);
}

/** Bits that the side tables of a code take: scales, centroids (32 bits each), zero points, exponents (8). */
function tableBits(values: ValueCode): number {
  switch (values.type) {
    case 'float':
      return 0;
    case 'affine':
      return 32 * values.scale.length + values.bits * values.zeroPoint.length;
    case 'codebook':
      return 32 * values.centroids.length;
    case 'powersOfTwo':
      return 8;
    case 'hashed':
      return 32 * values.weights.length;
    case 'binary':
      return 32 * values.scale.length;
  }
}

/**
 * Bits that the weight takes without entropy coding: the smaller of
 * dense (`size * valueBits`) and bitmap-sparse (`size + kept * valueBits`), plus scales, zero points or
 * centroids. The bitmap form needs a mask.
 */
export function encodedBits(encoding: Encoding): number {
  const size = sizeOf(encoding.shape);
  const dense = size * encoding.values.bits;
  let smallest = dense;
  if (encoding.mask) {
    let kept = 0;
    for (const keep of encoding.mask) kept += keep;
    smallest = Math.min(dense, size + kept * encoding.values.bits);
  }
  return smallest + tableBits(encoding.values);
}
