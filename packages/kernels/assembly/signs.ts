// Products of signs as bits, 1 for -1: x w = K - 2 popcount(bits of x ^ bits of w) over K signs.

/** Words whose counts fit into a byte each: 31 times 8 bits. */
export const CHUNK: i32 = 31;

/** Adds the bits in which x and w differ to counts of a byte each. */
@inline
export function count(x: v128, w: v128, acc: v128): v128 {
  return i8x16.add(acc, i8x16.popcnt(v128.xor(x, w)));
}

/** Adds counts of a byte each to sums of 32 bits. */
@inline
export function widen(counts: v128, acc: v128): v128 {
  return i32x4.add(acc, i32x4.extadd_pairwise_i16x8_u(i16x8.extadd_pairwise_i8x16_u(counts)));
}
