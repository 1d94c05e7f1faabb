// What the inner loops share: one step of a sum, and what happens to a sum at its end.

/** acc + a b: one rounding in the build with relaxed SIMD, two in the plain one. */
@inline
export function fma(a: v128, b: v128, acc: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, acc);
  return f32x4.add(acc, f32x4.mul(a, b));
}

/** acc + x w; of f32, or of pairs of i16 whose two products are added. */
@inline
export function step<T>(x: v128, w: v128, acc: v128): v128 {
  if (isFloat<T>()) return fma(x, w, acc);
  return i32x4.add(acc, i32x4.dot_i16x8_s(x, w));
}

/** A sum in f32: as it is, or `scale` times a whole number, plus `bias`. */
@inline
export function real<T>(acc: v128, scale: v128, bias: v128): v128 {
  if (isFloat<T>()) return acc;
  return f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(acc), scale), bias);
}

/** v cut to low ... high; a NaN stays. */
@inline
export function cut(v: v128, low: v128, high: v128): v128 {
  return f32x4.pmin(f32x4.pmax(v, low), high);
}

/** 1.5 times 2 ** 23: the low 16 bits of MAGIC + v are those of v rounded to even, for |v| up to 2 ** 15. */
const MAGIC: f32 = 12582912;

/**
 * Codes as the low halves of four numbers: x / step cut to low ... high, which are whole, and rounded to even. `by` is
 * the step, or where that is a power of two its inverse, which gives the same and is faster.
 */
@inline
export function codes(x: v128, by: v128, inverse: bool, low: v128, high: v128): v128 {
  const q = inverse ? f32x4.mul(x, by) : f32x4.div(x, by);
  return f32x4.add(cut(q, low, high), f32x4.splat(MAGIC));
}

/** Whether a positive number is a power of two. */
@inline
export function isPower(step: f32): bool {
  return (reinterpret<u32>(step) & 0x7fffff) == 0;
}
