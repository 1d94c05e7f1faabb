// Products of signs, a bit each: x w = K - 2 popcount(bits of x ^ bits of w) over K signs; a bit stands for -1.
// Bits of 32 channels are a word.
import { cut } from './arithmetic';

const STRIP: usize = 64;
/** Patterns of four signs. */
const PATTERNS: usize = 16;
/** Words whose counts fit into a byte: 8 lookups of at most 4 each. */
const CHUNK: i32 = 7;
/** Strips that are counted at once, of 16 pixels each, and the bytes of their counts. */
const AT_ONCE: i32 = 8;
const COUNTS: usize = 256;

@inline
function count(x: v128, w: v128, acc: v128): v128 {
  return i8x16.add(acc, i8x16.popcnt(v128.xor(x, w)));
}

/** Bits `bit` of x as 1 for 0 and -1 for 1: what the count against a pattern with that bit has more. */
@inline
function change(x: v128, bit: i32): v128 {
  const set = v128.and(i8x16.shr_u(x, bit), i8x16.splat(1));
  return i8x16.sub(i8x16.splat(1), i8x16.add(set, set));
}

/** For 16 pixels with four signs each the bits that differ from each of the 16 patterns, `step` bytes apart. */
function patterns(x: v128, y: usize, step: usize): void {
  const d0 = change(x, 0);
  const d1 = change(x, 1);
  const d2 = change(x, 2);
  const d3 = change(x, 3);
  let t0 = i8x16.popcnt(x);
  let t1 = i8x16.add(t0, d0);
  let t2 = i8x16.add(t0, d1);
  let t3 = i8x16.add(t1, d1);
  for (let high = 0; high < 2; high++) {
    const u0 = i8x16.add(t0, d2);
    const u1 = i8x16.add(t1, d2);
    const u2 = i8x16.add(t2, d2);
    const u3 = i8x16.add(t3, d2);
    v128.store(y, t0);
    v128.store(y + step, t1);
    v128.store(y + 2 * step, t2);
    v128.store(y + 3 * step, t3);
    y += 4 * step;
    v128.store(y, u0);
    v128.store(y + step, u1);
    v128.store(y + 2 * step, u2);
    v128.store(y + 3 * step, u3);
    y += 4 * step;
    t0 = i8x16.add(t0, d3);
    t1 = i8x16.add(t1, d3);
    t2 = i8x16.add(t2, d3);
    t3 = i8x16.add(t3, d3);
  }
}

/**
 * Tables for `xnorPlanes` of `planes` planes of words with `pixels` each: for every four signs of a word and each of
 * the 16 patterns that they can meet a plane of bytes, `yStep` bytes (a multiple of 16) apart, with how many
 * bits differ (Jeon et al., "BiQGEMM", 2020).
 */
export function signTables(x: usize, xStep: usize, y: usize, yStep: usize, planes: i32, pixels: i32): void {
  const ones = i32x4.splat(255);
  const low = i8x16.splat(15);
  for (; planes > 0; planes--) {
    for (let at: i32 = 0; at < pixels; at += 16) {
      const p = x + ((at as usize) << 2);
      const a = v128.load(p);
      const b = v128.load(p, 16);
      const c = v128.load(p, 32);
      const d = v128.load(p, 48);
      let to = y + (at as usize);
      for (let shift = 0; shift < 32; shift += 8) {
        const bytes = i8x16.narrow_i16x8_u(
          i16x8.narrow_i32x4_u(v128.and(i32x4.shr_u(a, shift), ones), v128.and(i32x4.shr_u(b, shift), ones)),
          i16x8.narrow_i32x4_u(v128.and(i32x4.shr_u(c, shift), ones), v128.and(i32x4.shr_u(d, shift), ones)),
        );
        patterns(v128.and(bytes, low), to, yStep);
        to += PATTERNS * yStep;
        patterns(i8x16.shr_u(bytes, 4), to, yStep);
        to += PATTERNS * yStep;
      }
    }
    x += xStep;
    y += 8 * PATTERNS * yStep;
  }
}

@inline
function widenTo(to: usize, counts: v128): void {
  v128.store(to, i16x8.add(v128.load(to), i16x8.extend_low_i8x16_u(counts)));
  v128.store(to, i16x8.add(v128.load(to, 16), i16x8.extend_high_i8x16_u(counts)), 16);
}

/** The bits that differ of 128 pixels and one output, into 128 u16. */
@inline
function countBits(x: usize, step: usize, cells: i32, deltas: usize, w: usize, to: usize): void {
  for (let at: usize = 0; at < COUNTS; at += 16) v128.store(to + at, i32x4.splat(0));
  for (let left = cells; left > 0; left -= CHUNK) {
    let c0 = i32x4.splat(0);
    let c1 = c0;
    let c2 = c0;
    let c3 = c0;
    let c4 = c0;
    let c5 = c0;
    let c6 = c0;
    let c7 = c0;
    for (let k = min(left, CHUNK); k > 0; k--) {
      let p = x + load<u32>(deltas);
      let word = load<u32>(w);
      for (let n = 8; n > 0; n--) {
        const q = p + ((word & 15) as usize) * step;
        c0 = i8x16.add(c0, v128.load(q));
        c1 = i8x16.add(c1, v128.load(q, 16));
        c2 = i8x16.add(c2, v128.load(q, 32));
        c3 = i8x16.add(c3, v128.load(q, 48));
        c4 = i8x16.add(c4, v128.load(q, 64));
        c5 = i8x16.add(c5, v128.load(q, 80));
        c6 = i8x16.add(c6, v128.load(q, 96));
        c7 = i8x16.add(c7, v128.load(q, 112));
        p += PATTERNS * step;
        word >>= 4;
      }
      deltas += 4;
      w += 4;
    }
    widenTo(to, c0);
    widenTo(to + 32, c1);
    widenTo(to + 64, c2);
    widenTo(to + 96, c3);
    widenTo(to + 128, c4);
    widenTo(to + 160, c5);
    widenTo(to + 192, c6);
    widenTo(to + 224, c7);
  }
}

@inline
function finish(base: v128, counts: v128, s: v128, b: v128, low: v128, high: v128): v128 {
  const sums = f32x4.sub(base, f32x4.convert_i32x4_s(i32x4.shl(counts, 1)));
  return cut(f32x4.add(f32x4.mul(sums, s), b), low, high);
}

/**
 * `count` outputs of a convolution of signs, planes `yStep` bytes apart, of `strips` times 16 pixels:
 * y = cut(scale (base - 2 popcount) + bias, low, high). x are the tables of `signTables`, `step` bytes apart; a
 * sum is over `cells` words, whose tables begin at `deltas` (u32). Of each output w has scale, bias, and the
 * `cells` words of its weights, no more than 2047. `whole` signs are behind a sum. Where the window reaches into
 * the padding there are fewer: `edges` pixels, of which `places` says the place in bytes (u32) and the row of
 * `values` (u32); `values` has `rows` f32 for each output: what a sum starts from. `base` has room for a plane
 * of 16 `strips` f32 and for 256 bytes more.
 */
export function xnorPlanes(
  x: usize,
  step: usize,
  w: usize,
  cells: i32,
  deltas: usize,
  y: usize,
  yStep: usize,
  count: i32,
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
  const plane = (strips as usize) * STRIP;
  const all = f32x4.splat(whole);
  for (let at: usize = 0; at < plane; at += 16) v128.store(base + at, all);
  const placesEnd = places + ((edges as usize) << 3);
  const counts = base + plane;
  for (; count > 0; count--) {
    for (let p = places; p < placesEnd; p += 8) {
      store<f32>(base + load<u32>(p), load<f32>(values + load<u32>(p, 4)));
    }
    const s = v128.load32_splat(w);
    const b = v128.load32_splat(w, 4);
    for (let strip = 0; strip < strips; strip += AT_ONCE) {
      // The last ones overlap those before.
      const first = max(0, min(strip, strips - AT_ONCE));
      countBits(x + ((first as usize) << 4), step, cells, deltas, w + 8, counts);
      let from = counts;
      let to = y + (first as usize) * STRIP;
      let start = base + (first as usize) * STRIP;
      for (let left = min(AT_ONCE, strips); left > 0; left--) {
        const c0 = v128.load(from);
        const c1 = v128.load(from, 16);
        v128.store(to, finish(v128.load(start), i32x4.extend_low_i16x8_u(c0), s, b, lo, hi));
        v128.store(to, finish(v128.load(start, 16), i32x4.extend_high_i16x8_u(c0), s, b, lo, hi), 16);
        v128.store(to, finish(v128.load(start, 32), i32x4.extend_low_i16x8_u(c1), s, b, lo, hi), 32);
        v128.store(to, finish(v128.load(start, 48), i32x4.extend_high_i16x8_u(c1), s, b, lo, hi), 48);
        from += 32;
        to += STRIP;
        start += STRIP;
      }
    }
    w += 8 + ((cells as usize) << 2);
    values += (rows as usize) << 2;
    y += yStep;
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
