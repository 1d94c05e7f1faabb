// Exponential and logarithm, and functions made of them, of float32 four at a time: within two units in the last
// place over the whole range. No multiply-add, so both builds agree bit by bit.
import { storeSome } from './elementwise';
import { artanhRest, exponentialRest, tanhNear } from './series';

/** 2^n for whole n from -126 to 127. */
@inline
function powerOf2(n: v128): v128 {
  return i32x4.shl(i32x4.add(n, i32x4.splat(127)), 23);
}

/** n of x = n ln 2 + r, the nearest, plus 1.5 2^23: then its last bits are those of n, and no conversion is needed. */
@inline
function nearest(x: v128): v128 {
  return f32x4.add(f32x4.mul(x, f32x4.splat(1.44269504)), f32x4.splat(12582912));
}

/** n as a float, and as a whole number, of what {@link nearest} gives. */
@inline
function asFloat(shifted: v128): v128 {
  return f32x4.sub(shifted, f32x4.splat(12582912));
}
@inline
function asWhole(shifted: v128): v128 {
  return i32x4.sub(shifted, i32x4.splat(0x4b400000));
}

/** e^x = 2^n e^r. 2^n in two factors: it may be infinite or denormal where the other two are not. */
@inline
function exp(x: v128): v128 {
  const cut = f32x4.pmin(f32x4.pmax(x, f32x4.splat(-104)), f32x4.splat(89));
  const n = nearest(cut);
  const p = f32x4.add(exponentialRest(cut, asFloat(n)), f32x4.splat(1));
  const whole = asWhole(n);
  const half = i32x4.shr_s(whole, 1);
  return f32x4.mul(f32x4.mul(p, powerOf2(half)), powerOf2(i32x4.sub(whole, half)));
}

/**
 * ln x, with `plus` ln(1 + x): k ln 2 + ln m, m from sqrt(1/2) to sqrt 2, ln m = 2 artanh((m - 1) / (m + 1)); the
 * polynomial of fdlibm. Of 1 + x, what its rounding lost is put back.
 */
@inline
function log(x: v128, plus: bool): v128 {
  const one = f32x4.splat(1);
  const sum = plus ? f32x4.add(x, one) : x;
  const tiny = f32x4.lt(sum, f32x4.splat(1.17549435e-38)); // denormal: 2^25 times as large
  const u = v128.bitselect(f32x4.mul(sum, f32x4.splat(33554432)), sum, tiny);
  const bits = i32x4.add(u, i32x4.splat(0x3f800000 - 0x3f3504f3));
  let k = i32x4.sub(i32x4.shr_s(bits, 23), i32x4.splat(127));
  k = i32x4.sub(k, v128.and(tiny, i32x4.splat(25)));
  const m = i32x4.add(v128.and(bits, i32x4.splat(0x7fffff)), i32x4.splat(0x3f3504f3));
  let f = f32x4.sub(m, one);
  let low = f32x4.mul(f32x4.convert_i32x4_s(k), f32x4.splat(9.0580006145e-6));
  if (plus) {
    const large = f32x4.gt(x, one);
    const lost = v128.bitselect(
      f32x4.sub(one, f32x4.sub(sum, x)),
      f32x4.sub(x, f32x4.sub(sum, one)),
      large,
    );
    const near = i32x4.eq(k, i32x4.splat(0)); // f is x, exactly
    f = v128.bitselect(x, f, near);
    low = f32x4.add(low, v128.andnot(f32x4.div(lost, sum), near));
  }
  const s = f32x4.div(f, f32x4.add(f, f32x4.splat(2)));
  const z = f32x4.mul(s, s);
  const w = f32x4.mul(z, z);
  const odd = f32x4.mul(z, f32x4.add(f32x4.splat(0.66666662693), f32x4.mul(w, f32x4.splat(0.28498786688))));
  const even = f32x4.mul(w, f32x4.add(f32x4.splat(0.40000972152), f32x4.mul(w, f32x4.splat(0.24279078841))));
  const half = f32x4.mul(f32x4.mul(f32x4.splat(0.5), f), f);
  let y = f32x4.add(f32x4.mul(s, f32x4.add(half, f32x4.add(odd, even))), low);
  y = f32x4.add(f32x4.sub(y, half), f);
  y = f32x4.add(y, f32x4.mul(f32x4.convert_i32x4_s(k), f32x4.splat(0.69313812256)));
  // Infinity and NaN are their own logarithms, that of 0 is -infinity, of what is smaller NaN.
  y = v128.bitselect(y, x, f32x4.lt(sum, f32x4.splat(Infinity)));
  y = v128.bitselect(f32x4.splat(-Infinity), y, f32x4.eq(sum, f32x4.splat(0)));
  y = v128.or(y, f32x4.lt(sum, f32x4.splat(0)));
  return plus ? v128.or(y, v128.and(x, i32x4.splat(0x80000000))) : y; // ln(1 + -0) is -0
}

/** tanh x: a polynomial near 0, where 1 - 2 / (e^2x + 1) cancels; the sign is that of x. */
@inline
function tanh(x: v128): v128 {
  const one = f32x4.splat(1);
  const two = f32x4.splat(2);
  const size = f32x4.abs(x);
  const far = f32x4.sub(one, f32x4.div(two, f32x4.add(exp(f32x4.mul(size, two)), one)));
  const y = v128.bitselect(tanhNear(size), far, f32x4.lt(size, f32x4.splat(0.625)));
  return v128.or(y, v128.and(x, i32x4.splat(0x80000000)));
}

/** ln(1 + e^x) = max(x, 0) + ln(1 + t), t = e^-|x| <= 1; ln(1 + t) as in {@link log} with the plain series. */
@inline
function softplus(x: v128): v128 {
  const t = exp(f32x4.neg(f32x4.abs(x)));
  const s = f32x4.div(t, f32x4.add(t, f32x4.splat(2)));
  const z = f32x4.mul(s, s);
  const half = f32x4.mul(f32x4.mul(f32x4.splat(0.5), t), t);
  const high = f32x4.sub(half, f32x4.mul(s, f32x4.add(half, f32x4.mul(artanhRest(z), z))));
  return f32x4.add(f32x4.pmax(x, f32x4.splat(0)), f32x4.sub(t, high));
}

/** x >= 0 ? scale x : scale alpha (e^x - 1); e^x - 1 = 2^n (e^r - 1) + (2^n - 1). */
@inline
function selu(x: v128): v128 {
  const scale = f32x4.splat(1.0507009873554805);
  const scaleAlpha = f32x4.splat(1.7580993408473768);
  const cut = f32x4.pmin(f32x4.pmax(x, f32x4.splat(-60)), f32x4.splat(0));
  const n = nearest(cut);
  const power = powerOf2(asWhole(n));
  const below = f32x4.add(f32x4.mul(exponentialRest(cut, asFloat(n)), power), f32x4.sub(power, f32x4.splat(1)));
  const above = f32x4.ge(x, f32x4.splat(0));
  return v128.bitselect(f32x4.mul(x, scale), f32x4.mul(below, scaleAlpha), above);
}

@inline
function value(x: v128, kind: i32): v128 {
  if (kind == 0) return exp(x);
  if (kind == 1) return log(x, false);
  if (kind == 2) return log(x, true);
  if (kind == 3) return tanh(x);
  if (kind == 4) return softplus(x);
  return selu(x);
}

/** The loop of one kind, which is known when it is compiled. */
@inline
function applyAs(x: usize, out: usize, count: i32, kind: i32): void {
  for (; count > 0; count -= 4) {
    const y = value(v128.load(x), kind); // once, also for what is left over at the end
    if (count >= 4) v128.store(out, y);
    else storeSome(out, y, count);
    x += 16;
    out += 16;
  }
}

/** out[i] = f(x[i]): e^x (kind 0), ln x (1), ln(1 + x) (2), tanh x (3), ln(1 + e^x) (4), selu(x) (5). */
export function apply(x: usize, out: usize, count: i32, kind: i32): void {
  if (kind == 0) applyAs(x, out, count, 0);
  else if (kind == 1) applyAs(x, out, count, 1);
  else if (kind == 2) applyAs(x, out, count, 2);
  else if (kind == 3) applyAs(x, out, count, 3);
  else if (kind == 4) applyAs(x, out, count, 4);
  else applyAs(x, out, count, 5);
}
