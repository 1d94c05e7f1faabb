// Dense layers of signs. A sign is a bit, 1 for -1, and 32 of them are a word.
import { CHUNK, count, widen } from '../signs';
import { cut } from './arithmetic';

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
    for (let left = words; left > 0; left -= CHUNK) {
      let c0 = i32x4.splat(0);
      let c1 = c0;
      let c2 = c0;
      let c3 = c0;
      for (let i = min(left, CHUNK); i > 0; i--) {
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
