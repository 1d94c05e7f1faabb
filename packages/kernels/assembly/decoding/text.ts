// The bytes of a description; see packages/io/src/arithmetic/text-model.ts for the model.
import { FRESH, IN_64, bit, learned, lowered, raised, squash, stretch } from './bits';

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
  for (let i = 0; i < ORDERS * TABLE; i++) store<u32>(contexts + (i << 2), FRESH);
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
      const set = bit(coder, p);
      const miss = i32(set << 16) - i32(p);
      w0 = learned(w0, miss, s0, LEARNING);
      w1 = learned(w1, miss, s1, LEARNING);
      w2 = learned(w2, miss, s2, LEARNING);
      store<u32>(first, set ? raised(rates, a) : lowered(rates, a));
      store<u32>(second, set ? raised(rates, b) : lowered(rates, b));
      store<u32>(third, set ? raised(rates, c) : lowered(rates, c));
      partial = 2 * partial + i32(set);
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
