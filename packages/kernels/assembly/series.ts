// Polynomials of elementary functions, of float32 four at a time, for all that is made of them.

/** e^r - 1 for r = x - n ln 2, |r| < 0.35; ln 2 in two parts, of which the first times n is exact. */
@inline
export function exponentialRest(x: v128, n: v128): v128 {
  let r = f32x4.sub(x, f32x4.mul(n, f32x4.splat(0.693359375)));
  r = f32x4.sub(r, f32x4.mul(n, f32x4.splat(-2.1219444e-4)));
  let p = f32x4.splat(1.98756915e-4);
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.3981999507e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(8.3334519073e-3));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(4.1665795894e-2));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(1.6666665459e-1));
  p = f32x4.add(f32x4.mul(p, r), f32x4.splat(0.5));
  return f32x4.add(f32x4.mul(f32x4.mul(r, r), p), r);
}

/** tanh x for |x| < 0.625, where 1 - 2 / (e^2x + 1) cancels. */
@inline
export function tanhNear(x: v128): v128 {
  const z = f32x4.mul(x, x);
  let p = f32x4.splat(-5.70498872745e-3);
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(2.06390887954e-2));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(-5.37397155531e-2));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(1.33314422036e-1));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(-3.33332819422e-1));
  return f32x4.add(f32x4.mul(f32x4.mul(p, z), x), x);
}

/** 2 artanh(s) / s = 2 + z p(z) for z = s^2, s <= 1/3: this is p. */
@inline
export function artanhRest(z: v128): v128 {
  let p = f32x4.splat(2.0 / 13);
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(2.0 / 11));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(2.0 / 9));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(2.0 / 7));
  p = f32x4.add(f32x4.mul(p, z), f32x4.splat(2.0 / 5));
  return f32x4.add(f32x4.mul(p, z), f32x4.splat(2.0 / 3));
}
