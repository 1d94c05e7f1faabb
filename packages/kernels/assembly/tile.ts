// The innermost loop. Everything that multiplies matrices, convolutions and their gradients included, ends
// here.
//
// A tile is four rows by eight columns: eight accumulators, and per step of k two loads of B and four
// splats of A. Ten accumulators spill on V8, and unrolling k gains nothing.

/** acc + a b: one rounding in the build with relaxed SIMD, two in the plain one. */
@inline
export function fma(a: v128, b: v128, acc: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, acc);
  return f32x4.add(acc, f32x4.mul(a, b));
}

@inline
function put(c: usize, value: v128, add: bool): void {
  v128.store(c, add ? f32x4.add(v128.load(c), value) : value);
}

/**
 * C[4, 8] = (C +) sum over k of A[k, 0..3] B[k, 0..7]. k runs over `blocks` blocks of `groups` groups of
 * `depth` steps: A steps by `aStep` bytes within a group, by `aGroup` from group to group, by `aBlock` from
 * block to block; B steps by `bStep` throughout. Rows of C are `cStep` bytes apart.
 */
export function tile4x8(
  a: usize,
  aStep: usize,
  aGroup: usize,
  aBlock: usize,
  b: usize,
  bStep: usize,
  depth: i32,
  groups: i32,
  blocks: i32,
  c: usize,
  cStep: usize,
  add: bool,
): void {
  let c00 = f32x4.splat(0);
  let c01 = c00;
  let c10 = c00;
  let c11 = c00;
  let c20 = c00;
  let c21 = c00;
  let c30 = c00;
  let c31 = c00;
  const length = bStep * depth;
  for (; blocks > 0; blocks--) {
    let start = a;
    for (let g = groups; g > 0; g--) {
      const end = b + length;
      let p = start;
      do {
        const s0 = v128.load32_splat(p);
        const s1 = v128.load32_splat(p, 4);
        const s2 = v128.load32_splat(p, 8);
        const s3 = v128.load32_splat(p, 12);
        const b0 = v128.load(b);
        c00 = fma(b0, s0, c00);
        c10 = fma(b0, s1, c10);
        c20 = fma(b0, s2, c20);
        c30 = fma(b0, s3, c30);
        const b1 = v128.load(b, 16);
        c01 = fma(b1, s0, c01);
        c11 = fma(b1, s1, c11);
        c21 = fma(b1, s2, c21);
        c31 = fma(b1, s3, c31);
        p += aStep;
        b += bStep;
      } while (b < end);
      start += aGroup;
    }
    a += aBlock;
  }
  put(c, c00, add);
  put(c + 16, c01, add);
  c += cStep;
  put(c, c10, add);
  put(c + 16, c11, add);
  c += cStep;
  put(c, c20, add);
  put(c + 16, c21, add);
  c += cStep;
  put(c, c30, add);
  put(c + 16, c31, add);
}

/** As {@link tile4x8}, four columns. */
export function tile4x4(
  a: usize,
  aStep: usize,
  aGroup: usize,
  aBlock: usize,
  b: usize,
  bStep: usize,
  depth: i32,
  groups: i32,
  blocks: i32,
  c: usize,
  cStep: usize,
  add: bool,
): void {
  let c0 = f32x4.splat(0);
  let c1 = c0;
  let c2 = c0;
  let c3 = c0;
  const length = bStep * depth;
  for (; blocks > 0; blocks--) {
    let start = a;
    for (let g = groups; g > 0; g--) {
      const end = b + length;
      let p = start;
      do {
        const b0 = v128.load(b);
        c0 = fma(b0, v128.load32_splat(p), c0);
        c1 = fma(b0, v128.load32_splat(p, 4), c1);
        c2 = fma(b0, v128.load32_splat(p, 8), c2);
        c3 = fma(b0, v128.load32_splat(p, 12), c3);
        p += aStep;
        b += bStep;
      } while (b < end);
      start += aGroup;
    }
    a += aBlock;
  }
  put(c, c0, add);
  put(c + cStep, c1, add);
  put(c + 2 * cStep, c2, add);
  put(c + 3 * cStep, c3, add);
}
