// Convolutions in CHW without im2col. An output channel walks a list of its weights: splat a weight, stream
// pixels. Where a weight's pixels lie is one number, its delta: input channel, row, column and phase of the
// stride in one. So the same loop serves every kernel size, dense and sparse, and each channel on its own.
//
// Planes of input and output have rows of one pitch, so that an output's pixels are a run of whole strips
// of 16. What lies between rows and after the last one comes out as garbage, which nothing reads, or which is set
// to zero afterwards (`seal`).
//
// A list: bytes of its entries (u32), then for each of its outputs scale, bias (f32) and whole bias (i32),
// then entries: delta in bytes (u32), for each output a weight. A weight of the whole numbers is a pair of
// i16 for two channels; their pixels are pairs of i16 too, so that a pixel takes four bytes either way.
//
// Where the next layer computes in whole numbers too, its codes are stored instead of floats: `next` is the address of
// its step, lowest and highest code (f32), and whether every output has a plane of its own, with codes in the low halves
// (u32); else outputs 2 o and 2 o + 1 are the halves of plane o. Floats where it is 0.
import { codes, cut, real, step } from './arithmetic';

/** Bytes before the entries of a list for two outputs. */
const HEAD2: usize = 28;
/** Bytes before the entries of a list for one output. */
const HEAD1: usize = 16;
/** Bytes of a strip of 16 pixels. */
const STRIP: usize = 64;

/** Two outputs, 16 pixels, the residual's planes `rStep` bytes apart. Returns the next list. */
@inline
function pairStrip<T>(x: usize, list: usize, y: usize, yStep: usize, residual: usize, rStep: usize, scale: f32, low: v128, high: v128, next: usize): usize {
  let c00 = isFloat<T>() ? v128.load32_splat(list, 8) : v128.load32_splat(list, 12);
  let c10 = isFloat<T>() ? v128.load32_splat(list, 20) : v128.load32_splat(list, 24);
  let c01 = c00;
  let c02 = c00;
  let c03 = c00;
  let c11 = c10;
  let c12 = c10;
  let c13 = c10;
  let p = list + HEAD2;
  const end = p + load<u32>(list);
  while (p < end) {
    const q = x + load<u32>(p);
    const w0 = v128.load32_splat(p, 4);
    const w1 = v128.load32_splat(p, 8);
    const x0 = v128.load(q);
    c00 = step<T>(x0, w0, c00);
    c10 = step<T>(x0, w1, c10);
    const x1 = v128.load(q, 16);
    c01 = step<T>(x1, w0, c01);
    c11 = step<T>(x1, w1, c11);
    const x2 = v128.load(q, 32);
    c02 = step<T>(x2, w0, c02);
    c12 = step<T>(x2, w1, c12);
    const x3 = v128.load(q, 48);
    c03 = step<T>(x3, w0, c03);
    c13 = step<T>(x3, w1, c13);
    p += 12;
  }
  finish4<T>(c00, c01, c02, c03, list + 4, y, residual, scale, low, high, next, false);
  if (residual) residual += rStep;
  finish4<T>(c10, c11, c12, c13, list + 16, y + yStep, residual, scale, low, high, next, yStep == 0);
  return end;
}

/** The low halves of codes, or with `second` both: those as the high ones of what is at y. */
@inline
function half(codes: v128, y: usize, second: bool): v128 {
  if (second) return v128.or(i32x4.shl(codes, 16), v128.load(y));
  return v128.and(codes, i32x4.splat(0xffff));
}

/** Stores 16 pixels of one output: floats, or codes as low halves, or with `second` as high ones. */
@inline
function finish4<T>(
  c0: v128,
  c1: v128,
  c2: v128,
  c3: v128,
  head: usize,
  y: usize,
  residual: usize,
  scale: f32,
  low: v128,
  high: v128,
  next: usize,
  second: bool,
): void {
  const s = f32x4.splat(load<f32>(head) * scale);
  const b = v128.load32_splat(head, 4);
  c0 = real<T>(c0, s, b);
  c1 = real<T>(c1, s, b);
  c2 = real<T>(c2, s, b);
  c3 = real<T>(c3, s, b);
  if (residual) {
    c0 = f32x4.add(c0, v128.load(residual));
    c1 = f32x4.add(c1, v128.load(residual, 16));
    c2 = f32x4.add(c2, v128.load(residual, 32));
    c3 = f32x4.add(c3, v128.load(residual, 48));
  }
  c0 = cut(c0, low, high);
  c1 = cut(c1, low, high);
  c2 = cut(c2, low, high);
  c3 = cut(c3, low, high);
  if (!isFloat<T>()) {
    if (next) {
      const by = v128.load32_splat(next);
      const least = v128.load32_splat(next, 4);
      const most = v128.load32_splat(next, 8);
      c0 = half(codes(c0, by, false, least, most), y, second);
      c1 = half(codes(c1, by, false, least, most), y + 16, second);
      c2 = half(codes(c2, by, false, least, most), y + 32, second);
      c3 = half(codes(c3, by, false, least, most), y + 48, second);
    }
  }
  v128.store(y, c0);
  v128.store(y, c1, 16);
  v128.store(y, c2, 32);
  v128.store(y, c3, 48);
}

/** One output, 32 pixels. */
function strip32<T>(x: usize, list: usize, y: usize, residual: usize, scale: f32, low: v128, high: v128, next: usize, second: bool): usize {
  let c0 = isFloat<T>() ? v128.load32_splat(list, 8) : v128.load32_splat(list, 12);
  let c1 = c0;
  let c2 = c0;
  let c3 = c0;
  let c4 = c0;
  let c5 = c0;
  let c6 = c0;
  let c7 = c0;
  let p = list + HEAD1;
  const end = p + load<u32>(list);
  while (p < end) {
    const q = x + load<u32>(p);
    const w = v128.load32_splat(p, 4);
    c0 = step<T>(v128.load(q), w, c0);
    c1 = step<T>(v128.load(q, 16), w, c1);
    c2 = step<T>(v128.load(q, 32), w, c2);
    c3 = step<T>(v128.load(q, 48), w, c3);
    c4 = step<T>(v128.load(q, 64), w, c4);
    c5 = step<T>(v128.load(q, 80), w, c5);
    c6 = step<T>(v128.load(q, 96), w, c6);
    c7 = step<T>(v128.load(q, 112), w, c7);
    p += 8;
  }
  finish4<T>(c0, c1, c2, c3, list + 4, y, residual, scale, low, high, next, second);
  if (residual) residual += STRIP;
  finish4<T>(c4, c5, c6, c7, list + 4, y + STRIP, residual, scale, low, high, next, second);
  return end;
}

/** One output, 16 pixels. */
function strip16<T>(x: usize, list: usize, y: usize, residual: usize, scale: f32, low: v128, high: v128, next: usize, second: bool): usize {
  let c0 = isFloat<T>() ? v128.load32_splat(list, 8) : v128.load32_splat(list, 12);
  let c1 = c0;
  let c2 = c0;
  let c3 = c0;
  let p = list + HEAD1;
  const end = p + load<u32>(list);
  while (p < end) {
    const q = x + load<u32>(p);
    const w = v128.load32_splat(p, 4);
    c0 = step<T>(v128.load(q), w, c0);
    c1 = step<T>(v128.load(q, 16), w, c1);
    c2 = step<T>(v128.load(q, 32), w, c2);
    c3 = step<T>(v128.load(q, 48), w, c3);
    p += 8;
  }
  finish4<T>(c0, c1, c2, c3, list + 4, y, residual, scale, low, high, next, second);
  return end;
}

/** Whether outputs have planes of their own. */
@inline
function apart<T>(next: usize): bool {
  return isFloat<T>() || next == 0 || load<u32>(next, 12) != 0;
}

/** Strip by strip, so that the input of a strip stays in the first-level cache. */
@inline
function pairs<T>(
  x: usize,
  lists: usize,
  y: usize,
  yStep: usize,
  count: i32,
  strips: i32,
  residual: usize,
  scale: f32,
  low: f32,
  high: f32,
  next: usize,
): void {
  const lo = f32x4.splat(low);
  const hi = f32x4.splat(high);
  const other = apart<T>(next) ? yStep : 0;
  for (; strips > 0; strips--) {
    let list = lists;
    let to = y;
    let from = residual;
    for (let i = count; i > 0; i--) {
      list = pairStrip<T>(x, list, to, other, from, yStep, scale, lo, hi, next);
      to += yStep + other;
      if (from) from += yStep << 1;
    }
    x += STRIP;
    y += STRIP;
    if (residual) residual += STRIP;
  }
}

@inline
function singles<T>(
  x: usize,
  lists: usize,
  y: usize,
  yStep: usize,
  count: i32,
  strips: i32,
  residual: usize,
  scale: f32,
  low: f32,
  high: f32,
  next: usize,
): void {
  const lo = f32x4.splat(low);
  const hi = f32x4.splat(high);
  const alone = apart<T>(next);
  for (; strips > 0; strips -= 2) {
    let list = lists;
    let to = y;
    let from = residual;
    let second = false;
    for (let i = count; i > 0; i--) {
      if (strips > 1) list = strip32<T>(x, list, to, from, scale, lo, hi, next, second);
      else list = strip16<T>(x, list, to, from, scale, lo, hi, next, second);
      if (alone || second) to += yStep;
      if (from) from += yStep;
      second = !alone && !second;
    }
    x += 2 * STRIP;
    y += 2 * STRIP;
    if (residual) residual += 2 * STRIP;
  }
}

/** Output by output, for inputs that one output alone reads. */
@inline
function separate<T>(
  x: usize,
  lists: usize,
  y: usize,
  yStep: usize,
  count: i32,
  strips: i32,
  scale: f32,
  low: f32,
  high: f32,
  next: usize,
): void {
  const lo = f32x4.splat(low);
  const hi = f32x4.splat(high);
  const alone = apart<T>(next);
  let list = lists;
  let second = false;
  for (let i = count; i > 0; i--) {
    let following = list;
    let at: usize = 0;
    let left = strips;
    for (; left > 1; left -= 2) {
      following = strip32<T>(x + at, list, y + at, 0, scale, lo, hi, next, second);
      at += 2 * STRIP;
    }
    if (left > 0) following = strip16<T>(x + at, list, y + at, 0, scale, lo, hi, next, second);
    list = following;
    if (alone || second) y += yStep;
    second = !alone && !second;
  }
}

/**
 * `count` times two output planes, `yStep` bytes apart, of `strips` times 16 pixels:
 * y = cut(bias + sum of w x[delta] + residual, low, high). No residual where its address is 0; it lies as y.
 */
export function convPairs(
  x: usize,
  lists: usize,
  y: usize,
  yStep: usize,
  count: i32,
  strips: i32,
  residual: usize,
  low: f32,
  high: f32,
): void {
  pairs<f32>(x, lists, y, yStep, count, strips, residual, 1, low, high, 0);
}

/** The same of whole numbers: y = cut(scale (step at `steps`) (whole bias + sum) + bias + residual, low, high). */
export function convPairsInt(
  x: usize,
  lists: usize,
  y: usize,
  yStep: usize,
  count: i32,
  strips: i32,
  residual: usize,
  low: f32,
  high: f32,
  steps: usize,
  next: usize,
): void {
  pairs<i16>(x, lists, y, yStep, count, strips, residual, load<f32>(steps), low, high, next);
}

/** As {@link convPairs}, one output to a list. */
export function convSingles(
  x: usize,
  lists: usize,
  y: usize,
  yStep: usize,
  count: i32,
  strips: i32,
  residual: usize,
  low: f32,
  high: f32,
): void {
  singles<f32>(x, lists, y, yStep, count, strips, residual, 1, low, high, 0);
}

/** As {@link convPairsInt}, one output to a list. */
export function convSinglesInt(
  x: usize,
  lists: usize,
  y: usize,
  yStep: usize,
  count: i32,
  strips: i32,
  residual: usize,
  low: f32,
  high: f32,
  steps: usize,
  next: usize,
): void {
  singles<i16>(x, lists, y, yStep, count, strips, residual, load<f32>(steps), low, high, next);
}

/** As {@link convSingles}, without residual, output by output. */
export function convSeparate(
  x: usize,
  lists: usize,
  y: usize,
  yStep: usize,
  count: i32,
  strips: i32,
  low: f32,
  high: f32,
): void {
  separate<f32>(x, lists, y, yStep, count, strips, 1, low, high, 0);
}

/** As {@link convSinglesInt}, without residual, output by output. */
export function convSeparateInt(
  x: usize,
  lists: usize,
  y: usize,
  yStep: usize,
  count: i32,
  strips: i32,
  low: f32,
  high: f32,
  steps: usize,
  next: usize,
): void {
  separate<i16>(x, lists, y, yStep, count, strips, load<f32>(steps), low, high, next);
}
