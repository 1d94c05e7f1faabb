// Masks of 0 and 1 as bits: a product with them reads a 32nd of what one with floats reads.

/** Values of a block: 32 vectors, each with one bit of the four words of the block. */
const BLOCK: i32 = 128;

/**
 * Bits of the whole blocks of 128 values of `mask`: four words to a block, of which word j has the values 4 i + j,
 * that of i = 0 in its highest bit. False where a value, of all `count`, is neither 0 nor 1.
 */
export function maskBits(mask: usize, bits: usize, count: i32): bool {
  const zero = f32x4.splat(0);
  const one = f32x4.splat(1);
  let valid = i32x4.splat(-1);
  for (; count >= BLOCK; count -= BLOCK) {
    let words = i32x4.splat(0);
    for (let i = 0; i < 32; i++) {
      const m = v128.load(mask);
      const kept = f32x4.eq(m, one);
      valid = v128.and(valid, v128.or(kept, f32x4.eq(m, zero)));
      words = i32x4.sub(i32x4.shl(words, 1), kept);
      mask += 16;
    }
    v128.store(bits, words);
    bits += 16;
  }
  for (; count > 0; count--) {
    const m = load<f32>(mask);
    if (m != 0 && m != 1) return false;
    mask += 4;
  }
  return i32x4.all_true(valid);
}

/** out[i] = x[i] where mask[i] is 1, else 0, with the bits that {@link maskBits} makes of the mask. */
export function applyMask(x: usize, bits: usize, mask: usize, out: usize, count: i32): void {
  mask += (count & ~(BLOCK - 1)) << 2;
  for (; count >= BLOCK; count -= BLOCK) {
    let words = v128.load(bits);
    for (let i = 0; i < 8; i++) {
      v128.store(out, v128.and(v128.load(x), i32x4.shr_s(words, 31)));
      v128.store(out, v128.and(v128.load(x, 16), i32x4.shr_s(i32x4.shl(words, 1), 31)), 16);
      v128.store(out, v128.and(v128.load(x, 32), i32x4.shr_s(i32x4.shl(words, 2), 31)), 32);
      v128.store(out, v128.and(v128.load(x, 48), i32x4.shr_s(i32x4.shl(words, 3), 31)), 48);
      words = i32x4.shl(words, 4);
      x += 64;
      out += 64;
    }
    bits += 16;
  }
  for (; count > 0; count--) {
    store<f32>(out, load<f32>(mask) == 1 ? load<f32>(x) : 0);
    x += 4;
    mask += 4;
    out += 4;
  }
}
