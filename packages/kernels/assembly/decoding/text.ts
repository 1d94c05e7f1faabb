// The bytes of a description; see packages/io/src/arithmetic/text-model.ts for the model.
import { AT, CODE, END, HIGH, IN_64, LOW, byteAt, fill, learned, lowered, raised, settled, splitAt, squash, stretch } from './bits';

const ORDERS = 3;
/** Contexts of each order. */
const TABLE = 1 << 13;
const CONTEXTS: usize = 16;
const WEIGHT = 29491; // 0.45 in 16 bits
const LEARNING = 13;

/** Decodes `count` bytes. `model` has 24580 words. */
export function textBytes(coder: usize, tables: usize, model: usize, out: usize, count: i32): void {
  let w0 = WEIGHT;
  let w1 = WEIGHT;
  let w2 = WEIGHT;
  const contexts = model + CONTEXTS;
  const rates = tables + IN_64;
  fill(contexts, contexts + ((ORDERS * TABLE) << 2));
  let low = load<u32>(coder, LOW);
  let high = load<u32>(coder, HIGH);
  let code = load<u32>(coder, CODE);
  let from = <usize>load<u32>(coder, AT);
  const end = <usize>load<u32>(coder, END);
  let last = 0;
  let before = 0;
  for (let i = 0; i < count; i++) {
    const one = (last + 1) * 0x9e3779b1;
    const two = (one ^ (before + 1)) * 0x85ebca6b;
    let partial = 1;
    for (let k = 0; k < 8; k++) {
      const first = contexts + (partial << 2);
      const second = contexts + ((TABLE + placeOf(one + partial)) << 2);
      const third = contexts + ((2 * TABLE + placeOf(two + partial)) << 2);
      const a = load<u32>(first);
      const b = load<u32>(second);
      const c = load<u32>(third);
      const s0 = stretch(tables, a);
      const s1 = stretch(tables, b);
      const s2 = stretch(tables, c);
      const p = squash(tables, w0 * s0 + w1 * s1 + w2 * s2);
      const split = splitAt(low, high, p);
      partial <<= 1;
      // In a branch each, so that a processor that guesses the bit need not wait for it.
      if (code <= split) {
        high = split;
        const miss = 65536 - i32(p);
        w0 = learned(w0, miss, s0, LEARNING);
        w1 = learned(w1, miss, s1, LEARNING);
        w2 = learned(w2, miss, s2, LEARNING);
        store<u32>(first, raised(rates, a));
        store<u32>(second, raised(rates, b));
        store<u32>(third, raised(rates, c));
        partial++;
      } else {
        low = split + 1;
        const miss = -i32(p);
        w0 = learned(w0, miss, s0, LEARNING);
        w1 = learned(w1, miss, s1, LEARNING);
        w2 = learned(w2, miss, s2, LEARNING);
        store<u32>(first, lowered(rates, a));
        store<u32>(second, lowered(rates, b));
        store<u32>(third, lowered(rates, c));
      }
      while (settled(low, high)) {
        low <<= 8;
        high = (high << 8) | 255;
        code = (code << 8) | byteAt(from++, end);
      }
    }
    before = last;
    last = partial & 255;
    store<u8>(out + i, last);
  }
}

@inline
function placeOf(hash: i32): i32 {
  const mixed = (hash ^ i32(u32(hash) >> 15)) * 0x2c1b3c6d;
  return (mixed ^ i32(u32(mixed) >> 12)) & (TABLE - 1);
}
