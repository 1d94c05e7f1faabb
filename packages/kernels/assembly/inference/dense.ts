// Products of one vector with a matrix: outputs in the lanes, a value of the vector in all of them.
import { cut, fma, real, step } from './arithmetic';

/**
 * `panels` times 16 outputs of a dense layer: y = cut(bias + x W, low, high). A panel: 16 biases, then for each
 * of the `k` inputs 16 weights.
 */
export function gemv(x: usize, w: usize, y: usize, k: i32, panels: i32, low: f32, high: f32): void {
  const lo = f32x4.splat(low);
  const hi = f32x4.splat(high);
  const even = x + ((k & ~1) << 2);
  for (; panels > 0; panels--) {
    let a0 = v128.load(w);
    let a1 = v128.load(w, 16);
    let a2 = v128.load(w, 32);
    let a3 = v128.load(w, 48);
    let b0 = f32x4.splat(0);
    let b1 = b0;
    let b2 = b0;
    let b3 = b0;
    w += 64;
    let p = x;
    while (p < even) {
      const s = v128.load32_splat(p);
      a0 = fma(v128.load(w), s, a0);
      a1 = fma(v128.load(w, 16), s, a1);
      a2 = fma(v128.load(w, 32), s, a2);
      a3 = fma(v128.load(w, 48), s, a3);
      const t = v128.load32_splat(p, 4);
      b0 = fma(v128.load(w, 64), t, b0);
      b1 = fma(v128.load(w, 80), t, b1);
      b2 = fma(v128.load(w, 96), t, b2);
      b3 = fma(v128.load(w, 112), t, b3);
      p += 8;
      w += 128;
    }
    if (k & 1) {
      const s = v128.load32_splat(p);
      a0 = fma(v128.load(w), s, a0);
      a1 = fma(v128.load(w, 16), s, a1);
      a2 = fma(v128.load(w, 32), s, a2);
      a3 = fma(v128.load(w, 48), s, a3);
      w += 64;
    }
    v128.store(y, cut(f32x4.add(a0, b0), lo, hi));
    v128.store(y, cut(f32x4.add(a1, b1), lo, hi), 16);
    v128.store(y, cut(f32x4.add(a2, b2), lo, hi), 32);
    v128.store(y, cut(f32x4.add(a3, b3), lo, hi), 48);
    y += 64;
  }
}

/**
 * As {@link gemv}, without the inputs that are zero. `list` has room for 8 (k + 1) bytes; a panel has weights
 * of zero behind its last input.
 */
export function gemvSkip(
  x: usize,
  w: usize,
  y: usize,
  k: i32,
  panels: i32,
  low: f32,
  high: f32,
  list: usize,
): void {
  const lo = f32x4.splat(low);
  const hi = f32x4.splat(high);
  let end = list;
  let offset: u32 = 0;
  for (let i = 0; i < k; i++) {
    const value = load<f32>(x);
    store<u32>(end, offset);
    store<f32>(end, value, 4);
    end += value != 0 ? 8 : 0;
    offset += 64;
    x += 4;
  }
  if ((end - list) & 8) {
    store<u64>(end, offset as u64);
    end += 8;
  }
  const panel = ((k + 1) as usize) << 6;
  for (; panels > 0; panels--) {
    let a0 = v128.load(w);
    let a1 = v128.load(w, 16);
    let a2 = v128.load(w, 32);
    let a3 = v128.load(w, 48);
    let b0 = f32x4.splat(0);
    let b1 = b0;
    let b2 = b0;
    let b3 = b0;
    w += 64;
    let p = list;
    while (p < end) {
      const q = w + load<u32>(p);
      const s = v128.load32_splat(p, 4);
      a0 = fma(v128.load(q), s, a0);
      a1 = fma(v128.load(q, 16), s, a1);
      a2 = fma(v128.load(q, 32), s, a2);
      a3 = fma(v128.load(q, 48), s, a3);
      const r = w + load<u32>(p, 8);
      const t = v128.load32_splat(p, 12);
      b0 = fma(v128.load(r), t, b0);
      b1 = fma(v128.load(r, 16), t, b1);
      b2 = fma(v128.load(r, 32), t, b2);
      b3 = fma(v128.load(r, 48), t, b3);
      p += 16;
    }
    v128.store(y, cut(f32x4.add(a0, b0), lo, hi));
    v128.store(y, cut(f32x4.add(a1, b1), lo, hi), 16);
    v128.store(y, cut(f32x4.add(a2, b2), lo, hi), 32);
    v128.store(y, cut(f32x4.add(a3, b3), lo, hi), 48);
    w += panel;
    y += 64;
  }
}

/**
 * `blocks` times 8 outputs: y = cut(bias + the sum over the kept inputs of x w, low, high). A block: how many
 * groups of four entries (u32) in 16 bytes, 8 biases, then the groups: four places of inputs in bytes (u32) and
 * four times 8 weights. Entries that fill up a group have weights of zero.
 */
export function gemvSparse(x: usize, w: usize, y: usize, blocks: i32, low: f32, high: f32): void {
  const lo = f32x4.splat(low);
  const hi = f32x4.splat(high);
  for (; blocks > 0; blocks--) {
    let a0 = v128.load(w, 16);
    let a1 = v128.load(w, 32);
    let b0 = f32x4.splat(0);
    let b1 = b0;
    let c0 = b0;
    let c1 = b0;
    let d0 = b0;
    let d1 = b0;
    const groups = load<u32>(w) as usize;
    w += 48;
    const end = w + groups * 144;
    while (w < end) {
      const s = v128.load32_splat(x + load<u32>(w));
      a0 = fma(v128.load(w, 16), s, a0);
      a1 = fma(v128.load(w, 32), s, a1);
      const t = v128.load32_splat(x + load<u32>(w, 4));
      b0 = fma(v128.load(w, 48), t, b0);
      b1 = fma(v128.load(w, 64), t, b1);
      const u = v128.load32_splat(x + load<u32>(w, 8));
      c0 = fma(v128.load(w, 80), u, c0);
      c1 = fma(v128.load(w, 96), u, c1);
      const v = v128.load32_splat(x + load<u32>(w, 12));
      d0 = fma(v128.load(w, 112), v, d0);
      d1 = fma(v128.load(w, 128), v, d1);
      w += 144;
    }
    v128.store(y, cut(f32x4.add(f32x4.add(a0, b0), f32x4.add(c0, d0)), lo, hi));
    v128.store(y, cut(f32x4.add(f32x4.add(a1, b1), f32x4.add(c1, d1)), lo, hi), 16);
    y += 32;
  }
}

/**
 * `n` outputs, a list each: y = cut(bias + sum of w x, low, high). A list: how many groups of four entries (u32),
 * the bias, then the groups: four places of inputs in bytes (u32), four weights. Entries that fill up a
 * group have weights of zero.
 */
export function gemvList(x: usize, w: usize, y: usize, n: i32, low: f32, high: f32): void {
  for (; n > 0; n--) {
    const groups = load<u32>(w) as usize;
    let a = load<f32>(w, 4);
    let b: f32 = 0;
    let c: f32 = 0;
    let d: f32 = 0;
    w += 8;
    const end = w + (groups << 5);
    while (w < end) {
      a += load<f32>(x + load<u32>(w)) * load<f32>(w, 16);
      b += load<f32>(x + load<u32>(w, 4)) * load<f32>(w, 20);
      c += load<f32>(x + load<u32>(w, 8)) * load<f32>(w, 24);
      d += load<f32>(x + load<u32>(w, 12)) * load<f32>(w, 28);
      w += 32;
    }
    let sum = a + b + (c + d);
    if (sum < low) sum = low;
    if (sum > high) sum = high;
    store<f32>(y, sum);
    y += 4;
  }
}

@inline
function finishInt(acc: v128, head: usize, scale: v128, y: usize, low: v128, high: v128): void {
  const s = f32x4.mul(v128.load(head), scale);
  const sum = i32x4.add(acc, v128.load(head, 128));
  v128.store(y, cut(real<i16>(sum, s, v128.load(head, 64)), low, high));
}

/**
 * `panels` times 16 outputs in whole numbers: y = cut(scale (step at `steps`) (whole bias + x W) + bias). x are
 * `k2` pairs of i16. A panel: 16 scales, 16 biases (f32), 16 whole biases (i32), then for each pair of inputs
 * 16 pairs of i8.
 */
export function gemvInt(
  x: usize,
  w: usize,
  y: usize,
  k2: i32,
  panels: i32,
  low: f32,
  high: f32,
  steps: usize,
): void {
  const lo = f32x4.splat(low);
  const hi = f32x4.splat(high);
  const scale = v128.load32_splat(steps);
  const end = x + ((k2 as usize) << 2);
  for (; panels > 0; panels--) {
    let a0 = i32x4.splat(0);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    const head = w;
    w += 192;
    let p = x;
    while (p < end) {
      const s = v128.load32_splat(p);
      a0 = step<i16>(v128.load8x8_s(w), s, a0);
      a1 = step<i16>(v128.load8x8_s(w, 8), s, a1);
      a2 = step<i16>(v128.load8x8_s(w, 16), s, a2);
      a3 = step<i16>(v128.load8x8_s(w, 24), s, a3);
      p += 4;
      w += 32;
    }
    finishInt(a0, head, scale, y, lo, hi);
    finishInt(a1, head + 16, scale, y + 16, lo, hi);
    finishInt(a2, head + 32, scale, y + 32, lo, hi);
    finishInt(a3, head + 48, scale, y + 48, lo, hi);
    y += 64;
  }
}

/**
 * As {@link gemvInt} with weights of 4 bits: for each pair of inputs 16 bytes, the first input's weight in the
 * low half, both plus 8. What 8 adds is taken off in the whole bias, which the caller cannot know: it is
 * 8 times the sum of x.
 */
export function gemvInt4(
  x: usize,
  w: usize,
  y: usize,
  k2: i32,
  panels: i32,
  low: f32,
  high: f32,
  steps: usize,
): void {
  const lo = f32x4.splat(low);
  const hi = f32x4.splat(high);
  const scale = v128.load32_splat(steps);
  const end = x + ((k2 as usize) << 2);
  const mask = i8x16.splat(15);
  const eight = i16x8.splat(8);
  let more = i32x4.splat(0);
  for (let p = x; p < end; p += 4) {
    more = i32x4.add(more, i32x4.dot_i16x8_s(v128.load32_splat(p), eight));
  }
  for (; panels > 0; panels--) {
    let a0 = i32x4.neg(more);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    const head = w;
    w += 192;
    let p = x;
    while (p < end) {
      const s = v128.load32_splat(p);
      const both = v128.load(w);
      const first = v128.and(both, mask);
      const second = v128.and(i16x8.shr_u(both, 4), mask);
      const even = i8x16.shuffle(first, second, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      const odd = i8x16.shuffle(first, second, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
      a0 = step<i16>(i16x8.extend_low_i8x16_u(even), s, a0);
      a1 = step<i16>(i16x8.extend_high_i8x16_u(even), s, a1);
      a2 = step<i16>(i16x8.extend_low_i8x16_u(odd), s, a2);
      a3 = step<i16>(i16x8.extend_high_i8x16_u(odd), s, a3);
      p += 4;
      w += 16;
    }
    finishInt(a0, head, scale, y, lo, hi);
    finishInt(a1, head + 16, scale, y + 16, lo, hi);
    finishInt(a2, head + 32, scale, y + 32, lo, hi);
    finishInt(a3, head + 48, scale, y + 48, lo, hi);
    y += 64;
  }
}

/** acc + x times four floats, whose two lower and two upper bytes lie in the lower or higher halves of two vectors. */
@inline
function addValues(pairs01: v128, pairs23: v128, x: v128, acc: v128, high: bool): v128 {
  const values = high
    ? i16x8.shuffle(pairs01, pairs23, 4, 12, 5, 13, 6, 14, 7, 15)
    : i16x8.shuffle(pairs01, pairs23, 0, 8, 1, 9, 2, 10, 3, 11);
  return fma(values, x, acc);
}

@inline
function lowBytes(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

@inline
function highBytes(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

/**
 * `panels` times 16 outputs of a dense layer whose weights are one of 16 values: y = cut(scale (x W) + bias, low,
 * high). `table` are the values byte by byte: the lowest bytes of all 16, then the next. A panel: 16 scales, 16
 * biases, then for every two of the `k` inputs 16 bytes, the number of a value in each half: the lower one of
 * the first input.
 */
export function gemvCodebook(
  x: usize,
  w: usize,
  y: usize,
  k: i32,
  panels: i32,
  low: f32,
  high: f32,
  table: usize,
): void {
  const lo = f32x4.splat(low);
  const hi = f32x4.splat(high);
  const t0 = v128.load(table);
  const t1 = v128.load(table, 16);
  const t2 = v128.load(table, 32);
  const t3 = v128.load(table, 48);
  for (; panels > 0; panels--) {
    const head = w;
    w += 128;
    let a0 = f32x4.splat(0);
    let a1 = a0;
    let a2 = a0;
    let a3 = a0;
    let p = x;
    for (let left = k; left > 0; left -= 2) {
      let codes = v128.load(w);
      w += 16;
      for (let i = min(left, 2); i > 0; i--) {
        const s = v128.load32_splat(p);
        p += 4;
        const own = v128.and(codes, i8x16.splat(15));
        codes = i8x16.shr_u(codes, 4);
        const b0 = i8x16.swizzle(t0, own);
        const b1 = i8x16.swizzle(t1, own);
        const b2 = i8x16.swizzle(t2, own);
        const b3 = i8x16.swizzle(t3, own);
        const l01 = lowBytes(b0, b1);
        const l23 = lowBytes(b2, b3);
        a0 = addValues(l01, l23, s, a0, false);
        a1 = addValues(l01, l23, s, a1, true);
        const h01 = highBytes(b0, b1);
        const h23 = highBytes(b2, b3);
        a2 = addValues(h01, h23, s, a2, false);
        a3 = addValues(h01, h23, s, a3, true);
      }
    }
    v128.store(y, cut(fma(a0, v128.load(head), v128.load(head, 64)), lo, hi));
    v128.store(y, cut(fma(a1, v128.load(head, 16), v128.load(head, 80)), lo, hi), 16);
    v128.store(y, cut(fma(a2, v128.load(head, 32), v128.load(head, 96)), lo, hi), 32);
    v128.store(y, cut(fma(a3, v128.load(head, 48), v128.load(head, 112)), lo, hi), 48);
    y += 64;
  }
}
