// Products of signs, a bit each: x w = K - 2 popcount(bits of x ^ bits of w) over K signs; a bit stands for -1.
// Bits of 32 channels are a word. The loop is that of the streams: splat a weight, stream pixels.
import { cut } from './arithmetic';

const HEAD: usize = 28;
const STRIP: usize = 64;

@inline
function count(x: v128, w: v128, acc: v128): v128 {
  return i8x16.add(acc, i8x16.popcnt(v128.xor(x, w)));
}

/** base - 2 (the bits counted in each 32-bit lane). */
@inline
function minusTwice(base: v128, counts: v128): v128 {
  const twice = i32x4.dot_i16x8_s(i16x8.extadd_pairwise_i8x16_u(counts), i16x8.splat(2));
  return f32x4.sub(base, f32x4.convert_i32x4_s(twice));
}

@inline
function finish(base: v128, counts: v128, s: v128, b: v128, low: v128, high: v128): v128 {
  return cut(f32x4.add(f32x4.mul(minusTwice(base, counts), s), b), low, high);
}

/**
 * One list of two outputs, planes `yStep` bytes apart, of `strips` times 16 pixels:
 * y = cut(scale (base - 2 popcount) + bias, low, high). `base` are planes as those of y. A list is that of
 * `convPairs` with words for weights, at most 31 of them. Returns the next list.
 */
@inline
function pair(x: usize, list: usize, y: usize, yStep: usize, strips: i32, base: usize, baseStep: usize, lo: v128, hi: v128): usize {
  const start = list + HEAD;
  const end = start + load<u32>(list);
  for (; strips > 0; strips--) {
    let c00 = i32x4.splat(0);
    let c01 = c00;
    let c02 = c00;
    let c03 = c00;
    let c10 = c00;
    let c11 = c00;
    let c12 = c00;
    let c13 = c00;
    let p = start;
    while (p < end) {
      const q = x + load<u32>(p);
      const w0 = v128.load32_splat(p, 4);
      const w1 = v128.load32_splat(p, 8);
      const x0 = v128.load(q);
      c00 = count(x0, w0, c00);
      c10 = count(x0, w1, c10);
      const x1 = v128.load(q, 16);
      c01 = count(x1, w0, c01);
      c11 = count(x1, w1, c11);
      const x2 = v128.load(q, 32);
      c02 = count(x2, w0, c02);
      c12 = count(x2, w1, c12);
      const x3 = v128.load(q, 48);
      c03 = count(x3, w0, c03);
      c13 = count(x3, w1, c13);
      p += 12;
    }
    let s = v128.load32_splat(list, 4);
    let b = v128.load32_splat(list, 8);
    v128.store(y, finish(v128.load(base), c00, s, b, lo, hi));
    v128.store(y, finish(v128.load(base, 16), c01, s, b, lo, hi), 16);
    v128.store(y, finish(v128.load(base, 32), c02, s, b, lo, hi), 32);
    v128.store(y, finish(v128.load(base, 48), c03, s, b, lo, hi), 48);
    s = v128.load32_splat(list, 16);
    b = v128.load32_splat(list, 20);
    const to = y + yStep;
    const from = base + baseStep;
    v128.store(to, finish(v128.load(from), c10, s, b, lo, hi));
    v128.store(to, finish(v128.load(from, 16), c11, s, b, lo, hi), 16);
    v128.store(to, finish(v128.load(from, 32), c12, s, b, lo, hi), 32);
    v128.store(to, finish(v128.load(from, 48), c13, s, b, lo, hi), 48);
    x += STRIP;
    y += STRIP;
    base += STRIP;
  }
  return end;
}

/**
 * `count` times two outputs, of `chunks` lists each: of all lists but the last, scale is 1, bias 0, and
 * nothing is cut. `whole` signs are behind a sum. Where the window reaches into the padding there are
 * fewer: `edges` pixels, of which `places` says the place in bytes (u32) and the row of `values` (u32); `values` has
 * `rows` rows for each list of outputs in turn, of two f32 each: what a sum starts from. `base` has room
 * for two planes of 16 `strips` f32.
 */
export function xnorPairs(
  x: usize,
  lists: usize,
  y: usize,
  yStep: usize,
  count: i32,
  chunks: i32,
  strips: i32,
  low: f32,
  high: f32,
  whole: f32,
  base: usize,
  edges: i32,
  places: usize,
  values: usize,
  rows: i32,
): void {
  const lo = f32x4.splat(low);
  const hi = f32x4.splat(high);
  const least = f32x4.splat(-Infinity);
  const most = f32x4.splat(Infinity);
  const plane = (strips as usize) * STRIP;
  const all = f32x4.splat(whole);
  for (let at: usize = 0; at < 2 * plane; at += 16) v128.store(base + at, all);
  const placesEnd = places + ((edges as usize) << 3);
  const rowBytes = (rows as usize) << 3;
  let list = lists;
  for (; count > 0; count--) {
    for (let p = places; p < placesEnd; p += 8) {
      const to = base + load<u32>(p);
      const from = values + load<u32>(p, 4);
      store<f32>(to, load<f32>(from));
      store<f32>(to + plane, load<f32>(from, 4));
    }
    let from = base;
    let fromStep = plane;
    for (let i = 1; i < chunks; i++) {
      list = pair(x, list, y, yStep, strips, from, fromStep, least, most);
      from = y;
      fromStep = yStep;
    }
    list = pair(x, list, y, yStep, strips, from, fromStep, lo, hi);
    values += rowBytes;
    y += yStep << 1;
  }
}

/**
 * Signs of `channels` planes of `pixels` values (a multiple of 4), as words of 32 channels: a bit is
 * 1 where scale x + shift < 0. `table` has scale and shift of each channel.
 */
export function signPlanes(
  x: usize,
  xStep: usize,
  y: usize,
  yStep: usize,
  channels: i32,
  pixels: i32,
  table: usize,
): void {
  const zero = f32x4.splat(0);
  const bytes = (pixels as usize) << 2;
  for (; channels > 0; channels -= 32) {
    const some = min(channels, 32);
    for (let at: usize = 0; at < bytes; at += 16) {
      let word = zero;
      let bit = i32x4.splat(1);
      let p = x + at;
      let t = table;
      for (let i = some; i > 0; i--) {
        const h = f32x4.add(f32x4.mul(v128.load(p), v128.load32_splat(t)), v128.load32_splat(t, 4));
        word = v128.or(word, v128.and(f32x4.lt(h, zero), bit));
        bit = i32x4.shl(bit, 1);
        p += xStep;
        t += 8;
      }
      v128.store(y + at, word);
    }
    x += xStep << 5;
    table += 256;
    y += yStep;
  }
}

/** Signs of a vector of n values, as words; `table` has scale and shift of each value. */
export function signVector(x: usize, y: usize, n: i32, table: usize): void {
  for (; n > 0; n -= 32) {
    let word: u32 = 0;
    const some = min(n, 32);
    for (let i = 0; i < some; i++) {
      const h = load<f32>(x) * load<f32>(table) + load<f32>(table, 4);
      word |= ((h < 0) as u32) << i;
      x += 4;
      table += 8;
    }
    store<u32>(y, word);
    y += 4;
  }
}

@inline
function finishDense(head: usize, acc: v128, whole: v128, y: usize, low: v128, high: v128): void {
  const sum = f32x4.sub(whole, f32x4.convert_i32x4_s(i32x4.shl(acc, 1)));
  v128.store(y, cut(f32x4.add(f32x4.mul(sum, v128.load(head)), v128.load(head, 64)), low, high));
}

@inline
function widen(counts: v128, acc: v128): v128 {
  return i32x4.add(acc, i32x4.extadd_pairwise_i16x8_u(i16x8.extadd_pairwise_i8x16_u(counts)));
}

/**
 * `panels` times 16 outputs of a dense layer: y = cut(scale (whole - 2 popcount) + bias, low, high). x are
 * `words` words; a panel: 16 scales, 16 biases, then for each word of x 16 words.
 */
export function xnorGemv(
  x: usize,
  w: usize,
  y: usize,
  words: i32,
  panels: i32,
  low: f32,
  high: f32,
  whole: f32,
): void {
  const lo = f32x4.splat(low);
  const hi = f32x4.splat(high);
  const all = f32x4.splat(whole);
  for (; panels > 0; panels--) {
    const head = w;
    w += 128;
    let a0 = i32x4.splat(0);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    let p = x;
    for (let left = words; left > 0; left -= 31) {
      let c0 = i32x4.splat(0);
      let c1 = c0;
      let c2 = c0;
      let c3 = c0;
      for (let i = min(left, 31); i > 0; i--) {
        const s = v128.load32_splat(p);
        c0 = count(v128.load(w), s, c0);
        c1 = count(v128.load(w, 16), s, c1);
        c2 = count(v128.load(w, 32), s, c2);
        c3 = count(v128.load(w, 48), s, c3);
        p += 4;
        w += 64;
      }
      a0 = widen(c0, a0);
      a1 = widen(c1, a1);
      a2 = widen(c2, a2);
      a3 = widen(c3, a3);
    }
    finishDense(head, a0, all, y, lo, hi);
    finishDense(head + 16, a1, all, y + 16, lo, hi);
    finishDense(head + 32, a2, all, y + 32, lo, hi);
    finishDense(head + 48, a3, all, y + 48, lo, hi);
    y += 64;
  }
}
