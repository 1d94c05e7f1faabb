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
