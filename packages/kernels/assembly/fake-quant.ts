// Fake quantisation of a weight over its own range: the range, the grid on it, and the values on the grid. The
// weight is `rows` times `channels` runs of `inner` values each; every channel has a range.
import { through, VALUES, VALUES_GRADIENT } from './codes';
import { better } from './elementwise';

/** A range below this is taken for empty. */
const SMALLEST: f32 = 1e-30;

/** Widens min ... max by a run of values. Both are NaN afterwards where any value is. */
function widenByRun(x: usize, count: i32, min: usize, max: usize): void {
  let a0 = v128.load32_splat(min);
  let a1 = a0;
  let b0 = v128.load32_splat(max);
  let b1 = b0;
  let nan = v128.or(f32x4.ne(a0, a0), f32x4.ne(b0, b0));
  for (; count >= 8; count -= 8) {
    const p = v128.load(x);
    const q = v128.load(x, 16);
    nan = v128.or(nan, v128.or(f32x4.ne(p, p), f32x4.ne(q, q)));
    a0 = f32x4.pmin(a0, p); // a NaN in p goes unseen
    a1 = f32x4.pmin(a1, q);
    b0 = f32x4.pmax(b0, p);
    b1 = f32x4.pmax(b1, q);
    x += 32;
  }
  a0 = f32x4.pmin(a0, a1);
  b0 = f32x4.pmax(b0, b1);
  for (; count > 0; count--) {
    const v = v128.load32_splat(x);
    nan = v128.or(nan, f32x4.ne(v, v));
    a0 = f32x4.pmin(a0, v);
    b0 = f32x4.pmax(b0, v);
    x += 4;
  }
  const none = v128.any_true(nan);
  store<f32>(min, none ? NaN : smallest(a0));
  store<f32>(max, none ? NaN : -smallest(f32x4.neg(b0)));
}

@inline
function smallest(v: v128): f32 {
  return min(
    min(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 1)),
    min(f32x4.extract_lane(v, 2), f32x4.extract_lane(v, 3)),
  );
}

/** Widens min ... max of every channel by a row with one value of each. */
function widenByRow(x: usize, channels: i32, low: usize, high: usize): void {
  let c = 0;
  for (; c + 4 <= channels; c += 4) {
    const v = v128.load(x);
    v128.store(low, better(v128.load(low), v, true));
    v128.store(high, better(v128.load(high), v, false));
    x += 16;
    low += 16;
    high += 16;
  }
  for (; c < channels; c++) {
    const v = load<f32>(x);
    store<f32>(low, min(load<f32>(low), v));
    store<f32>(high, max(load<f32>(high), v));
    x += 4;
    low += 4;
    high += 4;
  }
}

/**
 * grid[3, channels] = the scale of every channel, and its lowest and highest code without the zero point;
 * out[i] = scale (clip(round(x[i] / scale) + z, lowest, highest) - z), halves to even. The range is that of
 * the channel with 0; z is `middle` with `symmetric`, else that which the range asks for. NaN where the channel
 * has one.
 */
export function fakeQuant(
  x: usize,
  grid: usize,
  out: usize,
  rows: i32,
  channels: i32,
  inner: i32,
  lowest: f32,
  highest: f32,
  middle: f32,
  symmetric: bool,
): void {
  const bytes = (channels as usize) << 2;
  const lows = grid + bytes;
  const highs = lows + bytes;
  memory.fill(lows, 0, bytes << 1);
  let from = x;
  for (let row = 0; row < rows; row++) {
    if (inner == 1) {
      widenByRow(from, channels, lows, highs);
      from += bytes;
      continue;
    }
    for (let at: usize = 0; at < bytes; at += 4) {
      widenByRun(from, inner, lows + at, highs + at);
      from += (inner as usize) << 2;
    }
  }
  for (let at: usize = 0; at < bytes; at += 4) {
    const bottom = load<f32>(lows + at);
    const top = load<f32>(highs + at);
    const width: f32 = symmetric ? max(-bottom, top) * 2 : top - bottom;
    const scale: f32 = width <= SMALLEST ? 1 : width / (highest - lowest);
    const nearest = floor<f32>(lowest - bottom / scale + 0.5);
    const zero: f32 = symmetric ? middle : min(max(nearest, lowest), highest);
    store<f32>(grid + at, scale);
    store<f32>(lows + at, lowest - zero);
    store<f32>(highs + at, highest - zero);
  }
  through(VALUES, 0, x, grid, lows, highs, out, rows, channels, inner, true);
}

/** out[i] = dy[i] where x[i] lies between the ends of its channel's grid, as `fakeQuant` made it, else 0. */
export function fakeQuantGradient(
  dy: usize,
  x: usize,
  grid: usize,
  out: usize,
  rows: i32,
  channels: i32,
  inner: i32,
): void {
  const bytes = (channels as usize) << 2;
  const lows = grid + bytes;
  through(VALUES_GRADIENT, dy, x, grid, lows, lows + bytes, out, rows, channels, inner, true);
}
