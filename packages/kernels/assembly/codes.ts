// Rounding to the codes of a grid or to the values that they stand for, and the gradients. The values are `rows` times `channels` runs of `inner`
// values each; every channel has a scale, and with `own` bounds of its own, else the first pair is for all.
import { storeSome } from './elementwise';

@inline
function code(x: v128, scale: v128, low: v128, high: v128): v128 {
  const steps = f32x4.nearest(f32x4.div(x, scale)); // halves to even
  return f32x4.pmin(f32x4.pmax(steps, low), high); // a NaN stays
}

/** All ones where a value lies between the ends of its grid. */
@inline
function inside(x: v128, scale: v128, low: v128, high: v128): v128 {
  return v128.and(f32x4.ge(x, f32x4.mul(low, scale)), f32x4.le(x, f32x4.mul(high, scale)));
}

/** What is computed. */
export const CODES: i32 = 0;
export const CODES_GRADIENT: i32 = 1;
export const VALUES: i32 = 2;
export const VALUES_GRADIENT: i32 = 3;

/** Loads the first `count` of four values; the others are 1. */
@inline
function loadSome(at: usize, count: i32): v128 {
  let v = f32x4.splat(1);
  v = f32x4.replace_lane(v, 0, load<f32>(at));
  if (count > 1) v = f32x4.replace_lane(v, 1, load<f32>(at + 4));
  if (count > 2) v = f32x4.replace_lane(v, 2, load<f32>(at + 8));
  return v;
}

@inline
function four(what: i32, dy: v128, x: v128, scale: v128, low: v128, high: v128): v128 {
  if (what == CODES) return code(x, scale, low, high);
  if (what == VALUES) return f32x4.mul(code(x, scale, low, high), scale);
  const passed = what == CODES_GRADIENT ? f32x4.div(dy, scale) : dy;
  return v128.and(passed, inside(x, scale, low, high));
}

/** Goes through all values; inlined where it is called, so that `what` is known when it is compiled. */
@inline
export function through(
  what: i32,
  dy: usize,
  x: usize,
  scale: usize,
  low: usize,
  high: usize,
  out: usize,
  rows: i32,
  channels: i32,
  inner: i32,
  own: bool,
): void {
  const gradient = what == CODES_GRADIENT || what == VALUES_GRADIENT;
  const step: usize = own ? 4 : 0;
  for (let row = 0; row < rows; row++) {
    if (inner == 1) {
      let c = 0;
      for (; c + 4 <= channels; c += 4) {
        const at = <usize>c << 2;
        const l = own ? v128.load(low + at) : v128.load32_splat(low);
        const h = own ? v128.load(high + at) : v128.load32_splat(high);
        const d = gradient ? v128.load(dy) : l;
        v128.store(out, four(what, d, v128.load(x), v128.load(scale + at), l, h));
        dy += 16;
        x += 16;
        out += 16;
      }
      const rest = channels - c;
      if (rest > 0) {
        const at = <usize>c << 2;
        const l = own ? loadSome(low + at, rest) : v128.load32_splat(low);
        const h = own ? loadSome(high + at, rest) : v128.load32_splat(high);
        const d = gradient ? loadSome(dy, rest) : l;
        storeSome(out, four(what, d, loadSome(x, rest), loadSome(scale + at, rest), l, h), rest);
        dy += <usize>rest << 2;
        x += <usize>rest << 2;
        out += <usize>rest << 2;
      }
      continue;
    }
    for (let c = 0; c < channels; c++) {
      const s = v128.load32_splat(scale + (<usize>c << 2));
      const l = v128.load32_splat(low + <usize>c * step);
      const h = v128.load32_splat(high + <usize>c * step);
      let count = inner;
      for (; count >= 4; count -= 4) {
        const d = gradient ? v128.load(dy) : l;
        v128.store(out, four(what, d, v128.load(x), s, l, h));
        dy += 16;
        x += 16;
        out += 16;
      }
      if (count > 0) {
        const d = gradient ? loadSome(dy, count) : l;
        storeSome(out, four(what, d, loadSome(x, count), s, l, h), count);
        dy += <usize>count << 2;
        x += <usize>count << 2;
        out += <usize>count << 2;
      }
    }
  }
}

/** out[i] = round(x[i] / scale) cut to low ... high, halves to even; a NaN stays. */
export function codes(
  x: usize,
  scale: usize,
  low: usize,
  high: usize,
  out: usize,
  rows: i32,
  channels: i32,
  inner: i32,
  own: bool,
): void {
  through(CODES, 0, x, scale, low, high, out, rows, channels, inner, own);
}

/** out[i] = dy[i] / scale where low scale <= x[i] <= high scale, else 0. */
export function codesGradient(
  dy: usize,
  x: usize,
  scale: usize,
  low: usize,
  high: usize,
  out: usize,
  rows: i32,
  channels: i32,
  inner: i32,
  own: bool,
): void {
  through(CODES_GRADIENT, dy, x, scale, low, high, out, rows, channels, inner, own);
}
