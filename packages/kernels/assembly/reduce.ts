// Sums, maxima and minima over the middle axis of [outer, reduce, inner].
//
// Sums are blocked: float32 within a block, float64 from block to block. Within a block four rows are
// added in pairs first, so a value passes through at most 10 roundings to float32.
import { better } from './elementwise';

/** Rows in a block. */
const BLOCK: i32 = 32;
/** Bytes of x that a block covers at most; a block must stay in the cache, it is read in columns. */
const BLOCK_BYTES: i32 = 131072;
/** Float32 values in a block of one row that is summed alone. */
const RUN: i32 = 512;

/** How many rows of `inner` values are taken as one, so that no row ends in the middle of a vector. */
@inline
function rowsAsOne(inner: i32): i32 {
  if (inner & 1) return inner < 4 ? 16 : 4;
  if (inner & 2) return inner < 8 ? 8 : 2;
  return inner < 8 ? 4 : 1;
}

/** Bytes of scratch that {@link sumMiddle} needs. */
export function sumScratch(inner: i32): usize {
  return ((inner * rowsAsOne(inner)) as usize) << 3;
}

/** (a + b) + (c + d) of four rows, `step` bytes apart. */
@inline
function four(x: usize, step: usize): v128 {
  const low = f32x4.add(v128.load(x), v128.load(x + step));
  const third = x + (step << 1);
  return f32x4.add(low, f32x4.add(v128.load(third), v128.load(third + step)));
}

/** Adds four float32 sums to four float64 ones, or sets them. */
@inline
function gather(to: usize, sum: v128, set: bool): void {
  const low = f64x2.promote_low_f32x4(sum);
  const high = f64x2.promote_low_f32x4(i8x16.shuffle(sum, sum, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
  if (set) {
    v128.store(to, low);
    v128.store(to, high, 16);
  } else {
    v128.store(to, f64x2.add(v128.load(to), low));
    v128.store(to, f64x2.add(v128.load(to, 16), high), 16);
  }
}

/** sums[width] = (sums +) the sum of `rows` rows of `width` values; `width` is a multiple of 4. */
function addBlock(x: usize, rows: i32, width: i32, sums: usize, set: bool): void {
  const step = (width as usize) << 2;
  const fours = rows >> 2;
  let i = 0;
  for (; i + 16 <= width; i += 16) {
    let s0 = f32x4.splat(0);
    let s1 = s0;
    let s2 = s0;
    let s3 = s0;
    let p = x;
    for (let r = 0; r < fours; r++) {
      s0 = f32x4.add(s0, four(p, step));
      s1 = f32x4.add(s1, four(p + 16, step));
      s2 = f32x4.add(s2, four(p + 32, step));
      s3 = f32x4.add(s3, four(p + 48, step));
      p += step << 2;
    }
    for (let r = fours << 2; r < rows; r++) {
      s0 = f32x4.add(s0, v128.load(p));
      s1 = f32x4.add(s1, v128.load(p, 16));
      s2 = f32x4.add(s2, v128.load(p, 32));
      s3 = f32x4.add(s3, v128.load(p, 48));
      p += step;
    }
    gather(sums, s0, set);
    gather(sums + 32, s1, set);
    gather(sums + 64, s2, set);
    gather(sums + 96, s3, set);
    sums += 128;
    x += 64;
  }
  for (; i < width; i += 4) {
    let sum = f32x4.splat(0);
    let p = x;
    for (let r = 0; r < fours; r++) {
      sum = f32x4.add(sum, four(p, step));
      p += step << 2;
    }
    for (let r = fours << 2; r < rows; r++) {
      sum = f32x4.add(sum, v128.load(p));
      p += step;
    }
    gather(sums, sum, set);
    sums += 32;
    x += 16;
  }
}

/** The sum of `count` values. */
function sumRun(x: usize, count: i32): f64 {
  let total: f64 = 0;
  while (count >= 16) {
    const values = min(count, RUN) & ~15;
    const end = x + ((values as usize) << 2);
    let sum = f32x4.splat(0);
    for (; x < end; x += 64) sum = f32x4.add(sum, four(x, 16));
    const low = f64x2.promote_low_f32x4(sum);
    const high = f64x2.promote_low_f32x4(i8x16.shuffle(sum, sum, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
    const both = f64x2.add(low, high);
    total += f64x2.extract_lane(both, 0) + f64x2.extract_lane(both, 1);
    count -= values;
  }
  for (; count > 0; count--) {
    total += load<f32>(x);
    x += 4;
  }
  return total;
}

/**
 * out[outer, inner] = sum over r of x[outer, r, inner] / divisor, in float32. All sizes are at least 1.
 * `work` points to {@link sumScratch} bytes; it is not used where `inner` is 1.
 */
export function sumMiddle(
  x: usize,
  out: usize,
  outer: i32,
  reduce: i32,
  inner: i32,
  divisor: f64,
  work: usize,
): void {
  if (inner == 1) {
    for (; outer > 0; outer--) {
      store<f32>(out, (sumRun(x, reduce) / divisor) as f32);
      x += (reduce as usize) << 2;
      out += 4;
    }
    return;
  }
  const asOne = rowsAsOne(inner);
  const width = inner * asOne;
  const bytes = (width as usize) << 2;
  const block = min(BLOCK, max(8, (BLOCK_BYTES / (bytes as i32)) & ~3));
  const wide = reduce / asOne;
  const rest = reduce - wide * asOne;
  for (; outer > 0; outer--) {
    if (wide == 0) memory.fill(work, 0, bytes << 1);
    for (let done = 0; done < wide; done += block) {
      const rows = min(block, wide - done);
      addBlock(x, rows, width, work, done == 0);
      x += (rows as usize) * bytes;
    }
    for (let i = 0; i < inner; i++) {
      let total: f64 = 0;
      let at = work + ((i as usize) << 3);
      for (let r = 0; r < asOne; r++) {
        total += load<f64>(at);
        at += (inner as usize) << 3;
      }
      let p = x + ((i as usize) << 2);
      for (let r = 0; r < rest; r++) {
        total += load<f32>(p);
        p += (inner as usize) << 2;
      }
      store<f32>(out, (total / divisor) as f32);
      out += 4;
    }
    x += ((rest * inner) as usize) << 2;
  }
}

/** out[outer, inner] = sum over r of x[outer, r, inner] in int32, which wraps around. */
export function sumMiddleInt(x: usize, out: usize, outer: i32, reduce: i32, inner: i32): void {
  const bytes = (inner as usize) << 2;
  for (; outer > 0; outer--) {
    memory.fill(out, 0, bytes);
    for (let r = 0; r < reduce; r++) {
      let i: usize = 0;
      for (; i + 16 <= bytes; i += 16) {
        v128.store(out + i, i32x4.add(v128.load(out + i), v128.load(x + i)));
      }
      for (; i < bytes; i += 4) store<i32>(out + i, load<i32>(out + i) + load<i32>(x + i));
      x += bytes;
    }
    out += bytes;
  }
}

/**
 * out[outer, inner] = max over r of x[outer, r, inner], with `least` the minimum; NaN where any value is
 * NaN. All sizes are at least 1.
 */
export function extremeMiddle(
  x: usize,
  out: usize,
  outer: i32,
  reduce: i32,
  inner: i32,
  least: bool,
): void {
  const bytes = (inner as usize) << 2;
  for (; outer > 0; outer--) {
    let r = 0;
    if (inner == 1 && reduce >= 4) {
      let best = v128.load(x);
      for (r = 4, x += 16; r + 4 <= reduce; r += 4, x += 16) best = better(best, v128.load(x), least);
      best = better(best, i8x16.shuffle(best, best, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7), least);
      best = better(best, i8x16.shuffle(best, best, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11), least);
      store<f32>(out, f32x4.extract_lane(best, 0));
    } else {
      memory.copy(out, x, bytes);
      x += bytes;
      r = 1;
    }
    for (; r < reduce; r++) {
      let i: usize = 0;
      for (; i + 16 <= bytes; i += 16) {
        v128.store(out + i, better(v128.load(out + i), v128.load(x + i), least));
      }
      for (; i < bytes; i += 4) {
        const a = load<f32>(out + i);
        const b = load<f32>(x + i);
        store<f32>(out + i, least ? min(a, b) : max(a, b));
      }
      x += bytes;
    }
    out += bytes;
  }
}
