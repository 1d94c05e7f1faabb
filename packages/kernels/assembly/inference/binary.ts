// Convolutions of signs, by the Method of Four Russians: sums of subsets.
//
//   sum of w x = sum over taps and groups of 4 or 6 channels of S(w), where S(w) = w_0 x_0 + w_1 x_1 + ... of the group
//
// There are only 2^size different S, which all taps and outputs share. They are made first, as planes of bytes:
// those with w_0 = 1; the others are -S. Then an output is a walk over a list of planes that are added or
// subtracted, 16 pixels at once, with no product left. x is 1 or -1, and 0 where a window reaches into the
// padding, so edges need no care. Bytes hold the sums of a few entries; then they are added to 16 bits.
//
// Arlazarov, Dinic, Kronrod, Faradzev, On Economical Construction of the Transitive Closure of a Directed Graph, 1970.
import { cut } from './arithmetic';

/** Bytes before the entries of a list. */
const HEAD: usize = 16;
/** Pixels of a tile: a byte each, four vectors. */
const TILE: usize = 64;

@inline
function isNegative(x: usize, scale: v128, shift: v128): v128 {
  return f32x4.lt(f32x4.add(f32x4.mul(v128.load(x), scale), shift), f32x4.splat(0));
}

/** Signs of 16 values as bytes: -1 where scale x + shift < 0, else 1. */
@inline
function signs16(x: usize, scale: v128, shift: v128): v128 {
  const a = isNegative(x, scale, shift);
  const b = isNegative(x + 16, scale, shift);
  const c = isNegative(x + 32, scale, shift);
  const d = isNegative(x + 48, scale, shift);
  const bytes = i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d));
  return v128.or(bytes, i8x16.splat(1));
}

@inline
function clear(from: usize, to: usize): void {
  for (; from < to; from += 16) v128.store(from, i32x4.splat(0));
}

/**
 * Planes of signs, a byte a pixel, with padding and phases as those of `padPlanes`: -1 where scale x + shift < 0,
 * else 1, and 0 where x has no value. `table` has scale and shift of each channel. Behind the planes of the channels
 * come `more` planes of zeros. `yStep` is a multiple of 16, and at least 16 more than the rows take.
 */
export function signPlanes(
  x: usize,
  xStep: usize,
  xPitch: usize,
  y: usize,
  yStep: usize,
  yPitch: usize,
  channels: i32,
  height: i32,
  width: i32,
  rows: i32,
  strideHeight: i32,
  strideWidth: i32,
  top: i32,
  left: i32,
  table: usize,
  more: i32,
): void {
  // Rows of one pitch are one run; then what came between them is set to 0.
  const isRun = strideHeight * strideWidth == 1 && xPitch == yPitch << 2;
  for (; channels > 0; channels--) {
    const scale = v128.load32_splat(table);
    const shift = v128.load32_splat(table, 4);
    for (let a = 0; a < strideHeight; a++) {
      for (let b = 0; b < strideWidth; b++) {
        clear(y, y + yStep);
        // The first and the end of the columns that x has.
        const first = max(0, (left - b + strideWidth - 1) / strideWidth);
        const end = min(yPitch as i32, (width + left - b + strideWidth - 1) / strideWidth);
        for (let i = 0; i < rows; i++) {
          const h = i * strideHeight + a - top;
          if (h < 0 || h >= height) continue;
          let from = x + (h as usize) * xPitch + ((first * strideWidth + b - left) as usize << 2);
          const row = y + (i as usize) * yPitch;
          let to = row + (first as usize);
          let stop = row + (end as usize);
          if (isRun) stop += ((min(height, rows - top) - 1) as usize) * yPitch;
          if (strideWidth == 1) {
            for (; to < stop; to += 16) {
              v128.store(to, signs16(from, scale, shift));
              from += 64;
            }
          } else if (strideWidth == 2) {
            for (; to < stop; to += 8) {
              const both = signs16(from, scale, shift);
              const even = v128.shuffle<i8>(both, both, 0, 2, 4, 6, 8, 10, 12, 14, 0, 2, 4, 6, 8, 10, 12, 14);
              v128.store64_lane(to, even, 0);
              from += 64;
            }
          } else {
            for (; to < stop; to++) {
              const value = load<f32>(from) * load<f32>(table) + load<f32>(table, 4);
              store<i8>(to, value < 0 ? -1 : 1);
              from += (strideWidth as usize) << 2;
            }
          }
          // What was written beyond the row; the next row comes after it.
          v128.store(stop, i32x4.splat(0));
          if (!isRun) continue;
          const gap = yPitch - ((end - first) as usize);
          for (let at = row + (end as usize); at < stop; at += yPitch) {
            for (let j: usize = 0; j < gap; j++) store<i8>(at + j, 0);
          }
          break;
        }
        y += yStep;
      }
    }
    x += xStep;
    table += 8;
  }
  clear(y, y + (more as usize) * yStep);
}

/** s + t for eight s, each to a plane of its own. Returns the plane behind them. */
@inline
function eight(
  y: usize,
  step: usize,
  s0: v128,
  s1: v128,
  s2: v128,
  s3: v128,
  s4: v128,
  s5: v128,
  s6: v128,
  s7: v128,
  t: v128,
): usize {
  v128.store(y, i8x16.add(s0, t));
  y += step;
  v128.store(y, i8x16.add(s1, t));
  y += step;
  v128.store(y, i8x16.add(s2, t));
  y += step;
  v128.store(y, i8x16.add(s3, t));
  y += step;
  v128.store(y, i8x16.add(s4, t));
  y += step;
  v128.store(y, i8x16.add(s5, t));
  y += step;
  v128.store(y, i8x16.add(s6, t));
  y += step;
  v128.store(y, i8x16.add(s7, t));
  return y + step;
}

/**
 * Sums of subsets: of every `size` (4 or 6) planes of bytes x, 2^(size - 1) planes, number p of which is
 * x_0 +- x_1 +- x_2 ..., with - for x_(i + 1) where bit i of p is set. `bytes` of a plane, rounded up to 16, are made.
 */
export function subsetPlanes(
  x: usize,
  xStep: usize,
  y: usize,
  yStep: usize,
  groups: i32,
  size: i32,
  bytes: i32,
): void {
  const planes: usize = 1 << ((size - 1) as usize);
  for (; groups > 0; groups--) {
    for (let at: usize = 0; at < (bytes as usize); at += 16) {
      let p = x + at;
      let q = v128.load(p);
      p += xStep;
      let r = v128.load(p);
      const a = i8x16.add(q, r);
      const b = i8x16.sub(q, r);
      p += xStep;
      q = v128.load(p);
      p += xStep;
      r = v128.load(p);
      const c = i8x16.add(q, r);
      const d = i8x16.sub(q, r);
      const s0 = i8x16.add(a, c);
      const s1 = i8x16.add(b, c);
      const s2 = i8x16.sub(a, d);
      const s3 = i8x16.sub(b, d);
      const s4 = i8x16.add(a, d);
      const s5 = i8x16.add(b, d);
      const s6 = i8x16.sub(a, c);
      const s7 = i8x16.sub(b, c);
      // What channels 4 and 5 add: e, -f, f, -e; or nothing.
      let t = i32x4.splat(0);
      let u = t;
      if (size == 6) {
        p += xStep;
        q = v128.load(p);
        p += xStep;
        r = v128.load(p);
        t = i8x16.add(q, r);
        u = i8x16.sub(r, q);
      }
      let to = y + at;
      const end = to + planes * yStep;
      while (true) {
        to = eight(to, yStep, s0, s1, s2, s3, s4, s5, s6, s7, t);
        if (to == end) break;
        to = eight(to, yStep, s0, s1, s2, s3, s4, s5, s6, s7, u);
        if (to == end) break;
        const turned = i8x16.neg(u);
        u = i8x16.neg(t);
        t = turned;
      }
    }
    x += xStep * (size as usize);
    y += yStep * planes;
  }
}

@inline
function addLow(bytes: v128, acc: v128): v128 {
  return i16x8.add(acc, i16x8.extend_low_i8x16_s(bytes));
}

@inline
function addHigh(bytes: v128, acc: v128): v128 {
  return i16x8.add(acc, i16x8.extend_high_i8x16_s(bytes));
}

@inline
function finish(sum: v128, s: v128, b: v128, low: v128, high: v128): v128 {
  return cut(f32x4.add(f32x4.mul(f32x4.convert_i32x4_s(sum), s), b), low, high);
}

/** Stores 16 pixels. */
@inline
function finish16(a: v128, b: v128, list: usize, y: usize, low: v128, high: v128): void {
  const scale = v128.load32_splat(list, 8);
  const bias = v128.load32_splat(list, 12);
  v128.store(y, finish(i32x4.extend_low_i16x8_s(a), scale, bias, low, high));
  v128.store(y, finish(i32x4.extend_high_i16x8_s(a), scale, bias, low, high), 16);
  v128.store(y, finish(i32x4.extend_low_i16x8_s(b), scale, bias, low, high), 32);
  v128.store(y, finish(i32x4.extend_high_i16x8_s(b), scale, bias, low, high), 48);
}

/** One output of as many strips of 16 pixels as T has bytes, 2 or 4. Stores `strips` of them; returns the next list. */
@inline
function tile<T>(x: usize, list: usize, y: usize, chunk: usize, strips: i32, low: v128, high: v128): usize {
  let p = list + HEAD;
  const added = p + load<u32>(list);
  const end = p + load<u32>(list, 4);
  let a0 = i32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let a4 = a0;
  let a5 = a0;
  let a6 = a0;
  let a7 = a0;
  while (p < end) {
    let c0 = i32x4.splat(0);
    let c1 = c0;
    let c2 = c0;
    let c3 = c0;
    const stop = min(end, p + chunk);
    const turn = min(added, stop);
    while (p < turn) {
      const q = x + load<u32>(p);
      c0 = i8x16.add(c0, v128.load(q));
      c1 = i8x16.add(c1, v128.load(q, 16));
      if (sizeof<T>() > 2) {
        c2 = i8x16.add(c2, v128.load(q, 32));
        c3 = i8x16.add(c3, v128.load(q, 48));
      }
      p += 4;
    }
    while (p < stop) {
      const q = x + load<u32>(p);
      c0 = i8x16.sub(c0, v128.load(q));
      c1 = i8x16.sub(c1, v128.load(q, 16));
      if (sizeof<T>() > 2) {
        c2 = i8x16.sub(c2, v128.load(q, 32));
        c3 = i8x16.sub(c3, v128.load(q, 48));
      }
      p += 4;
    }
    a0 = addLow(c0, a0);
    a1 = addHigh(c0, a1);
    a2 = addLow(c1, a2);
    a3 = addHigh(c1, a3);
    if (sizeof<T>() > 2) {
      a4 = addLow(c2, a4);
      a5 = addHigh(c2, a5);
      a6 = addLow(c3, a6);
      a7 = addHigh(c3, a7);
    }
  }
  finish16(a0, a1, list, y, low, high);
  if (strips > 1) finish16(a2, a3, list, y + 64, low, high);
  if (sizeof<T>() > 2) {
    if (strips > 2) finish16(a4, a5, list, y + 128, low, high);
    if (strips > 3) finish16(a6, a7, list, y + 192, low, high);
  }
  return end;
}

/**
 * `count` output planes, `yStep` bytes apart, of `strips` times 16 pixels: y = cut(scale (sum) + bias, low, high),
 * where a sum adds bytes x[delta] and subtracts others. A list: bytes of the entries that are added, bytes of all
 * entries (u32), scale, bias (f32), then deltas (u32), the added ones first. A byte holds the sum of any `chunk`
 * entries, 16 bits that of all. Reads up to 63 bytes more than it needs.
 */
export function xnorPlanes(
  x: usize,
  lists: usize,
  y: usize,
  yStep: usize,
  count: i32,
  strips: i32,
  chunk: i32,
  low: f32,
  high: f32,
): void {
  const lo = f32x4.splat(low);
  const hi = f32x4.splat(high);
  const chunkBytes = (chunk as usize) << 2;
  // Tile by tile, since the planes of a tile stay in the first-level cache for all outputs.
  for (; strips > 0; strips -= 4) {
    let list = lists;
    let to = y;
    if (strips > 2) {
      for (let i = count; i > 0; i--) {
        list = tile<u32>(x, list, to, chunkBytes, strips, lo, hi);
        to += yStep;
      }
    } else {
      for (let i = count; i > 0; i--) {
        list = tile<u16>(x, list, to, chunkBytes, strips, lo, hi);
        to += yStep;
      }
    }
    x += TILE;
    y += TILE << 2;
  }
}
