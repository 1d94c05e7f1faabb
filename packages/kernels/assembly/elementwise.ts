// Elementwise functions and copies in SIMD. Where stock loses a NaN these keep it: pmax(x, low) is
// x < low ? low : x.

/** Stores the first `count` of four values, one to three. */
@inline
export function storeSome(at: usize, v: v128, count: i32): void {
  store<f32>(at, f32x4.extract_lane(v, 0));
  if (count > 1) store<f32>(at + 4, f32x4.extract_lane(v, 1));
  if (count > 2) store<f32>(at + 8, f32x4.extract_lane(v, 2));
}

/** out[i] = x[i] cut to low ... high; a NaN stays. */
export function clamp(x: usize, out: usize, count: i32, low: f32, high: f32): void {
  const lows = f32x4.splat(low);
  const highs = f32x4.splat(high);
  for (; count >= 4; count -= 4) {
    v128.store(out, f32x4.pmin(f32x4.pmax(v128.load(x), lows), highs));
    x += 16;
    out += 16;
  }
  for (; count > 0; count--) {
    let v = load<f32>(x);
    if (v < low) v = low;
    if (high < v) v = high;
    store<f32>(out, v);
    x += 4;
    out += 4;
  }
}

/** The larger of two, with `least` the smaller; NaN if either is. f32x4.max takes ten instructions on x86. */
@inline
export function better(a: v128, b: v128, least: bool): v128 {
  const kept = least ? f32x4.pmin(a, b) : f32x4.pmax(a, b); // a NaN in a stays
  return v128.bitselect(b, kept, f32x4.ne(b, b));
}

/**
 * out[i] = max(a[i], b[i]), with `least` the minimum; NaN if either is. With `oneA` the first value of a
 * stands for all of them, with `oneB` that of b.
 */
export function extreme(
  a: usize,
  b: usize,
  out: usize,
  count: i32,
  oneA: bool,
  oneB: bool,
  least: bool,
): void {
  const aStep: usize = oneA ? 0 : 1;
  const bStep: usize = oneB ? 0 : 1;
  for (; count >= 4; count -= 4) {
    const p = oneA ? v128.load32_splat(a) : v128.load(a);
    const q = oneB ? v128.load32_splat(b) : v128.load(b);
    v128.store(out, better(p, q, least));
    a += aStep << 4;
    b += bStep << 4;
    out += 16;
  }
  for (; count > 0; count--) {
    const p = load<f32>(a);
    const q = load<f32>(b);
    store<f32>(out, least ? min(p, q) : max(p, q));
    a += aStep << 2;
    b += bStep << 2;
    out += 4;
  }
}

/**
 * out[i] = a[i] b[i]. With `oneA` the first value of a stands for all of them, with `oneB` that of b. Out
 * may be a or b.
 */
export function multiply(
  a: usize,
  b: usize,
  out: usize,
  count: i32,
  oneA: bool,
  oneB: bool,
): void {
  if (oneA || oneB) {
    const factor = load<f32>(oneA ? a : b);
    multiplyBy(oneA ? b : a, factor, out, count);
    return;
  }
  for (; count >= 16; count -= 16) {
    v128.store(out, f32x4.mul(v128.load(a), v128.load(b)));
    v128.store(out, f32x4.mul(v128.load(a, 16), v128.load(b, 16)), 16);
    v128.store(out, f32x4.mul(v128.load(a, 32), v128.load(b, 32)), 32);
    v128.store(out, f32x4.mul(v128.load(a, 48), v128.load(b, 48)), 48);
    a += 64;
    b += 64;
    out += 64;
  }
  for (; count > 0; count--) {
    store<f32>(out, load<f32>(a) * load<f32>(b));
    a += 4;
    b += 4;
    out += 4;
  }
}

/** out[i] = factor x[i]. */
function multiplyBy(x: usize, factor: f32, out: usize, count: i32): void {
  const factors = f32x4.splat(factor);
  for (; count >= 4; count -= 4) {
    v128.store(out, f32x4.mul(v128.load(x), factors));
    x += 16;
    out += 16;
  }
  for (; count > 0; count--) {
    store<f32>(out, load<f32>(x) * factor);
    x += 4;
    out += 4;
  }
}

/** out[r, c] = x[r, c] row[c]. */
export function multiplyRows(x: usize, row: usize, out: usize, rows: i32, columns: i32): void {
  for (; rows > 0; rows--) {
    let at = row;
    let c = columns;
    for (; c >= 4; c -= 4) {
      v128.store(out, f32x4.mul(v128.load(x), v128.load(at)));
      at += 16;
      x += 16;
      out += 16;
    }
    for (; c > 0; c--) {
      store<f32>(out, load<f32>(x) * load<f32>(at));
      at += 4;
      x += 4;
      out += 4;
    }
  }
}

/** out[i] = 1 where x[i] > 0, -1 where x[i] < 0, else 0. */
export function sign(x: usize, out: usize, count: i32): void {
  const zero = f32x4.splat(0);
  for (; count >= 4; count -= 4) {
    const v = v128.load(x);
    v128.store(out, f32x4.convert_i32x4_s(i32x4.sub(f32x4.lt(v, zero), f32x4.gt(v, zero))));
    x += 16;
    out += 16;
  }
  for (; count > 0; count--) {
    const v = load<f32>(x);
    store<f32>(out, v > 0 ? 1 : v < 0 ? -1 : 0);
    x += 4;
    out += 4;
  }
}

/** out[i] = -1 where x[i] < 0, else 1; a NaN stays. */
export function binarySign(x: usize, out: usize, count: i32): void {
  const zero = f32x4.splat(0);
  const one = f32x4.splat(1);
  const signBit = i32x4.splat(0x80000000);
  for (; count >= 4; count -= 4) {
    const v = v128.load(x);
    const signs = v128.or(one, v128.and(f32x4.lt(v, zero), signBit));
    v128.store(out, v128.bitselect(v, signs, f32x4.ne(v, v)));
    x += 16;
    out += 16;
  }
  for (; count > 0; count--) {
    const v = load<f32>(x);
    store<f32>(out, v < 0 ? -1 : v >= 0 ? 1 : v);
    x += 4;
    out += 4;
  }
}

/** +1 or -1 for four values at `index`: see {@link binarySample}. */
@inline
function drawn(x: v128, index: v128, first: v128, second: v128): v128 {
  let h = v128.xor(index, first);
  h = v128.xor(h, i32x4.shr_u(h, 16));
  h = i32x4.mul(h, i32x4.splat(0x85ebca6b));
  h = v128.xor(v128.xor(h, second), i32x4.shr_u(h, 13));
  h = i32x4.mul(h, i32x4.splat(0xc2b2ae35));
  h = i32x4.shr_u(v128.xor(h, i32x4.shr_u(h, 16)), 8);
  const steps = f32x4.mul(f32x4.convert_i32x4_s(h), f32x4.splat(1.1920928955078125e-7)); // 2^-23
  const minus = f32x4.splat(-1);
  // The sign bit of -1 goes where the limit lies below x.
  const signBit = i32x4.splat(0x80000000);
  return v128.xor(minus, v128.and(f32x4.lt(f32x4.add(steps, minus), x), signBit));
}

/**
 * out[i] = 1 where 2 u[i] - 1 < x[i], else -1; u[i] = h / 2^32 cut to 24 bits, h the hash of i: MurmurHash3's
 * finalizer of `i ^ first`, with `second` mixed in halfway.
 */
export function binarySample(x: usize, out: usize, count: i32, first: i32, second: i32): void {
  const a = i32x4.splat(first);
  const b = i32x4.splat(second);
  let index = i32x4(0, 1, 2, 3);
  for (; count >= 4; count -= 4) {
    v128.store(out, drawn(v128.load(x), index, a, b));
    index = i32x4.add(index, i32x4.splat(4));
    x += 16;
    out += 16;
  }
  if (count > 0) storeSome(out, drawn(v128.load(x), index, a, b), count);
}

/** out[i] = alpha[i] x[i] where x[i] < 0, else x[i]. With `one` the first alpha stands for all of them. */
export function prelu(x: usize, alpha: usize, out: usize, count: i32, one: bool): void {
  const zero = f32x4.splat(0);
  const step: usize = one ? 0 : 1;
  for (; count >= 4; count -= 4) {
    const v = v128.load(x);
    const a = one ? v128.load32_splat(alpha) : v128.load(alpha);
    v128.store(out, v128.bitselect(f32x4.mul(a, v), v, f32x4.lt(v, zero)));
    x += 16;
    alpha += step << 4;
    out += 16;
  }
  for (; count > 0; count--) {
    const v = load<f32>(x);
    store<f32>(out, v < 0 ? load<f32>(alpha) * v : v);
    x += 4;
    alpha += step << 2;
    out += 4;
  }
}

/** The position of the first of `count` int32 indices outside 0 ... size - 1; -1 where there is none. */
export function firstOutside(indices: usize, count: i32, size: i32): i32 {
  for (let i = 0; i < count; i++) {
    if ((load<i32>(indices + ((i as usize) << 2)) as u32) >= (size as u32)) return i;
  }
  return -1;
}

/** Copies one block, not onto itself. */
@inline
function copyBlock(from: usize, to: usize, bytes: usize): void {
  if (bytes <= 256) {
    let i: usize = 0;
    for (; i + 16 <= bytes; i += 16) v128.store(to + i, v128.load(from + i));
    for (; i + 4 <= bytes; i += 4) store<i32>(to + i, load<i32>(from + i));
    for (; i < bytes; i++) store<u8>(to + i, load<u8>(from + i));
  } else {
    memory.copy(to, from, bytes);
  }
}

/** out[i] = x[indices[i]] for blocks of `bytes` bytes. The indices are not checked. */
export function gatherBlocks(x: usize, indices: usize, out: usize, count: i32, bytes: usize): void {
  if (bytes == 4) {
    for (; count > 0; count--) {
      store<i32>(out, load<i32>(x + ((load<i32>(indices) as usize) << 2)));
      indices += 4;
      out += 4;
    }
    return;
  }
  for (; count > 0; count--) {
    copyBlock(x + (load<i32>(indices) as usize) * bytes, out, bytes);
    indices += 4;
    out += bytes;
  }
}

/** Copies blocks of `bytes` bytes, one every `fromStep` bytes, backwards where that is negative, to every `toStep`. */
export function copyBlocks(from: usize, to: usize, count: i32, bytes: usize, fromStep: i32, toStep: i32): void {
  if (bytes == 4) {
    for (; count > 0; count--) {
      store<i32>(to, load<i32>(from));
      from += fromStep;
      to += toStep;
    }
    return;
  }
  for (; count > 0; count--) {
    copyBlock(from, to, bytes);
    from += fromStep;
    to += toStep;
  }
}
