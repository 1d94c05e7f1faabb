// Values as codes: whole numbers of steps, as pairs of i16 for the kernels of whole numbers.
import { codes, cut, isPower } from './arithmetic';

/** Writes at `steps` the least power of two with which no magnitude of x is above `most` steps; 1 where all is zero. */
export function stepOf(
  x: usize,
  xStep: usize,
  xPitch: usize,
  channels: i32,
  height: i32,
  width: i32,
  most: f32,
  steps: usize,
): void {
  let even = f32x4.splat(0);
  let odd = even;
  let largest: f32 = 0;
  const whole = ((width as usize) & ~3) << 2;
  for (; channels > 0; channels--) {
    let row = x;
    for (let i = height; i > 0; i--) {
      let at: usize = 0;
      for (; at + 16 < whole; at += 32) {
        even = f32x4.pmax(even, f32x4.abs(v128.load(row + at)));
        odd = f32x4.pmax(odd, f32x4.abs(v128.load(row + at, 16)));
      }
      if (width > 3) {
        // The last four, whether or not some of them were met before.
        const last = row + ((width as usize) << 2) - 16;
        even = f32x4.pmax(even, f32x4.abs(v128.load(last)));
        if (at < whole) odd = f32x4.pmax(odd, f32x4.abs(v128.load(row + at)));
      } else {
        for (; at < (width as usize) << 2; at += 4) largest = max(largest, abs(load<f32>(row + at)));
      }
      row += xPitch;
    }
    x += xStep;
  }
  even = f32x4.pmax(even, odd);
  largest = max(largest, f32x4.extract_lane(even, 0));
  largest = max(largest, f32x4.extract_lane(even, 1));
  largest = max(largest, f32x4.extract_lane(even, 2));
  largest = max(largest, f32x4.extract_lane(even, 3));
  const up = (reinterpret<u32>(largest / most) + 0x7fffff) & 0xff800000;
  store<f32>(steps, largest > 0 ? reinterpret<f32>(max(up, 0x800000)) : 1);
}

/** Codes of x as low halves of `bytes` bytes and, unless `alone`, those of the plane `xStep` bytes behind as high ones. */
@inline
function codePlane(
  x: usize,
  xStep: usize,
  y: usize,
  bytes: usize,
  alone: bool,
  by: v128,
  inverse: bool,
  low: v128,
  high: v128,
): void {
  const mask = i32x4.splat(0xffff);
  if (alone) {
    for (let at: usize = 0; at < bytes; at += 16) {
      v128.store(y + at, v128.and(codes(v128.load(x + at), by, inverse, low, high), mask));
    }
    return;
  }
  const other = x + xStep;
  for (let at: usize = 0; at < bytes; at += 16) {
    const a = codes(v128.load(x + at), by, inverse, low, high);
    const b = codes(v128.load(other + at), by, inverse, low, high);
    v128.store(y + at, v128.or(v128.and(a, mask), i32x4.shl(b, 16)));
  }
}

/**
 * Pairs of i16: planes 2 c and 2 c + 1 as the halves of a plane of `pixels` pairs (a multiple of 4), codes
 * round(x / step) cut to low ... high. Where `channels` is odd the last high half is 0. With `alone`
 * every channel has a plane of its own, with codes in its low halves.
 */
export function codePlanes(
  x: usize,
  xStep: usize,
  y: usize,
  yStep: usize,
  channels: i32,
  pixels: i32,
  low: f32,
  high: f32,
  steps: usize,
  alone: bool,
): void {
  const step = load<f32>(steps);
  const power = isPower(step);
  const by = f32x4.splat(power ? 1 / step : step);
  const lo = f32x4.splat(low);
  const hi = f32x4.splat(high);
  const bytes = (pixels as usize) << 2;
  while (channels > 0) {
    const one = alone || channels == 1;
    if (power) codePlane(x, xStep, y, bytes, one, by, true, lo, hi);
    else codePlane(x, xStep, y, bytes, one, by, false, lo, hi);
    x += one ? xStep : xStep << 1;
    channels -= one ? 1 : 2;
    y += yStep;
  }
}

/** y = x with the low half of the next number as the high half of each, for n numbers (a multiple of 4). */
export function pairNeighbours(x: usize, y: usize, n: i32): void {
  const bytes = (n as usize) << 2;
  for (let at: usize = 0; at < bytes; at += 16) {
    v128.store(y + at, v128.or(v128.load(x + at), i32x4.shl(v128.load(x + at, 4), 16)));
  }
}

/** The low halves of four numbers as four numbers. */
@inline
function whole(codes: v128): v128 {
  return i32x4.shr_s(i32x4.shl(codes, 16), 16);
}

/** Codes of n values as i16; a multiple of 8 of them is written. */
export function codeVector(x: usize, y: usize, n: i32, low: f32, high: f32, steps: usize): void {
  const step = v128.load32_splat(steps);
  const lo = f32x4.splat(low);
  const hi = f32x4.splat(high);
  for (; n > 7; n -= 8) {
    const a = whole(codes(v128.load(x), step, false, lo, hi));
    v128.store(y, i16x8.narrow_i32x4_s(a, whole(codes(v128.load(x, 16), step, false, lo, hi))));
    x += 32;
    y += 16;
  }
  if (n <= 0) return;
  v128.store(y, i32x4.splat(0));
  for (; n > 0; n--) {
    const value = codes(v128.load32_splat(x), step, false, lo, hi);
    store<i16>(y, i32x4.extract_lane(value, 0) as i16);
    x += 4;
    y += 2;
  }
}

/** y = step round(x / step), cut to low ... high codes; n values, in place where y is x. */
export function roundToCodes(x: usize, y: usize, n: i32, low: f32, high: f32, step: f32): void {
  const s = f32x4.splat(step);
  const lo = f32x4.splat(low);
  const hi = f32x4.splat(high);
  const bytes = (n as usize) << 2;
  for (let at: usize = 0; at < bytes; at += 16) {
    const code = f32x4.nearest(cut(f32x4.div(v128.load(x + at), s), lo, hi));
    v128.store(y + at, f32x4.mul(code, s));
  }
}
