// Comparisons of float32 to bytes, sixteen at a time; logic on bytes; the choice between two by a byte. As IEEE 754
// says, a NaN is unequal to all and neither smaller nor larger.

/** What {@link compare} asks; `greater` is `less` the other way round. */
const EQUAL: i32 = 0;
const NOT_EQUAL: i32 = 1;
const LESS: i32 = 2;

@inline
function fours(a: v128, b: v128, kind: i32): v128 {
  if (kind == EQUAL) return f32x4.eq(a, b);
  if (kind == NOT_EQUAL) return f32x4.ne(a, b);
  return kind == LESS ? f32x4.lt(a, b) : f32x4.le(a, b);
}

@inline
function single(a: f32, b: f32, kind: i32): bool {
  if (kind == EQUAL) return a == b;
  if (kind == NOT_EQUAL) return a != b;
  return kind == LESS ? a < b : a <= b;
}

/** The loop of one kind, which is known when it is compiled. */
@inline
function compareAs(a: usize, b: usize, out: usize, count: i32, oneA: bool, oneB: bool, kind: i32): void {
  const ones = i8x16.splat(1);
  const firstA = v128.load32_splat(a);
  const firstB = v128.load32_splat(b);
  const aStep: usize = oneA ? 0 : 4;
  const bStep: usize = oneB ? 0 : 4;
  for (; count >= 16; count -= 16) {
    const p0 = oneA ? firstA : v128.load(a);
    const p1 = oneA ? firstA : v128.load(a, 16);
    const p2 = oneA ? firstA : v128.load(a, 32);
    const p3 = oneA ? firstA : v128.load(a, 48);
    const q0 = oneB ? firstB : v128.load(b);
    const q1 = oneB ? firstB : v128.load(b, 16);
    const q2 = oneB ? firstB : v128.load(b, 32);
    const q3 = oneB ? firstB : v128.load(b, 48);
    // All bits of a lane are set where it holds: -1, which stays -1 in fewer bits.
    const low = i16x8.narrow_i32x4_s(fours(p0, q0, kind), fours(p1, q1, kind));
    const high = i16x8.narrow_i32x4_s(fours(p2, q2, kind), fours(p3, q3, kind));
    v128.store(out, v128.and(i8x16.narrow_i16x8_s(low, high), ones));
    a += aStep << 4;
    b += bStep << 4;
    out += 16;
  }
  for (; count > 0; count--) {
    store<u8>(out, single(load<f32>(a), load<f32>(b), kind));
    a += aStep;
    b += bStep;
    out++;
  }
}

/**
 * out[i] = 1 where a[i] = b[i] (kind 0), a[i] != b[i] (1), a[i] < b[i] (2), a[i] <= b[i] (3), else 0, in bytes.
 * With `oneA` the first value of a stands for all of them, with `oneB` that of b.
 */
export function compare(a: usize, b: usize, out: usize, count: i32, oneA: bool, oneB: bool, kind: i32): void {
  if (kind == EQUAL) compareAs(a, b, out, count, oneA, oneB, EQUAL);
  else if (kind == NOT_EQUAL) compareAs(a, b, out, count, oneA, oneB, NOT_EQUAL);
  else if (kind == LESS) compareAs(a, b, out, count, oneA, oneB, LESS);
  else compareAs(a, b, out, count, oneA, oneB, 3);
}

/**
 * out[i] = a[i] and b[i], with `either` a[i] or b[i], of bytes that are true where they are not 0. With `oneA` the
 * first byte of a stands for all of them, with `oneB` that of b.
 */
export function logical(a: usize, b: usize, out: usize, count: i32, oneA: bool, oneB: bool, either: bool): void {
  const ones = i8x16.splat(1);
  const aStep: usize = oneA ? 0 : 1;
  const bStep: usize = oneB ? 0 : 1;
  for (; count >= 16; count -= 16) {
    // The smaller of 1 and a byte is whether it is true.
    const p = i8x16.min_u(oneA ? v128.load8_splat(a) : v128.load(a), ones);
    const q = i8x16.min_u(oneB ? v128.load8_splat(b) : v128.load(b), ones);
    v128.store(out, either ? v128.or(p, q) : v128.and(p, q));
    a += aStep << 4;
    b += bStep << 4;
    out += 16;
  }
  for (; count > 0; count--) {
    const p = load<u8>(a) != 0;
    const q = load<u8>(b) != 0;
    store<u8>(out, either ? p || q : p && q);
    a += aStep;
    b += bStep;
    out++;
  }
}

/** out[i] = not x[i], of bytes. */
export function logicalNot(x: usize, out: usize, count: i32): void {
  const ones = i8x16.splat(1);
  const none = i8x16.splat(0);
  for (; count >= 16; count -= 16) {
    v128.store(out, v128.and(i8x16.eq(v128.load(x), none), ones));
    x += 16;
    out += 16;
  }
  for (; count > 0; count--) {
    store<u8>(out, load<u8>(x) == 0);
    x++;
    out++;
  }
}

/** out[i] = t[i] where the byte condition[i] is not 0, else e[i]; of values of four bytes. */
export function select(condition: usize, t: usize, e: usize, out: usize, count: i32): void {
  const none = i8x16.splat(0);
  for (; count >= 16; count -= 16) {
    const rejected = i8x16.eq(v128.load(condition), none);
    const low = i16x8.extend_low_i8x16_s(rejected);
    const high = i16x8.extend_high_i8x16_s(rejected);
    v128.store(out, v128.bitselect(v128.load(e), v128.load(t), i32x4.extend_low_i16x8_s(low)));
    v128.store(out, v128.bitselect(v128.load(e, 16), v128.load(t, 16), i32x4.extend_high_i16x8_s(low)), 16);
    v128.store(out, v128.bitselect(v128.load(e, 32), v128.load(t, 32), i32x4.extend_low_i16x8_s(high)), 32);
    v128.store(out, v128.bitselect(v128.load(e, 48), v128.load(t, 48), i32x4.extend_high_i16x8_s(high)), 48);
    condition += 16;
    t += 64;
    e += 64;
    out += 64;
  }
  for (; count > 0; count--) {
    store<i32>(out, load<u8>(condition) ? load<i32>(t) : load<i32>(e));
    condition++;
    t += 4;
    e += 4;
    out += 4;
  }
}
