// Binary arithmetic decoding, with probabilities that follow the bits. Whole numbers only, so that every machine
// computes the same; the writing half in packages/io/src/arithmetic does the same sums.

// A coder is five words: low, high and code of the interval, the address of the next byte, the end of the bytes.
export const LOW: usize = 0;
export const HIGH: usize = 4;
export const CODE: usize = 8;
export const AT: usize = 12;
export const END: usize = 16;

// Tables: u16 squash[4096], i16 stretch[4096], f64 bounds[12], u32 rates[256] of one in 256 bits, and in 64.
const STRETCH: usize = 8192;
export const BOUNDS: usize = 16384;
export const IN_256: usize = BOUNDS + 96;
export const IN_64: usize = IN_256 + 1024;

/** No mixed probability is nearer to 0 or 1, of 65536. */
const SURE: i32 = 16;

/**
 * A context before its first bit. The upper 22 bits are the probability of a 1, the lower 10 how many bits were seen, 255
 * for more.
 */
export const FRESH: u32 = 0x8000_0000;
const SEEN: u32 = 1023;
const MOST_SEEN: u32 = 255;
const WHOLE: u32 = (1 << 22) - 1;

/**
 * Fills the tables, 18528 bytes: squash(s) = 65536 / (1 + e^-x) with x = 10 s / 2048 for s from -2048 to 2047; stretch,
 * its inverse, for the middles of 4096 cells; the upper ends of the classes of density; rates 65536 / (n + 1.6), and no
 * less than 256 or 1024.
 */
export function prepare(tables: usize): void {
  let power: f64 = 1;
  for (let i = 0; i < 2048; i++) {
    const up = i32(65536 * (power / (1 + power)));
    const down = i32(65536 * (1 / (1 + power)));
    store<u16>(tables + ((2048 + i) << 1), min(up, 65536 - SURE));
    store<u16>(tables + ((2048 - i) << 1), max(down, SURE));
    power *= 1.0048947659802057; // e^(10 / 2048)
  }
  store<u16>(tables, SURE);
  let place = 0;
  for (let cell = 0; cell < 4096; cell++) {
    while (place < 4095 && i32(load<u16>(tables + (place << 1))) < 16 * cell + 8) place++;
    store<i16>(tables + (cell << 1), max(place - 2048, -2047), STRETCH);
  }
  for (let n = 0; n < 256; n++) {
    const rate = i32(65536 / (f64(n) + 1.6));
    store<i32>(tables + (n << 2), max(rate, 256), IN_256);
    store<i32>(tables + (n << 2), max(rate, 1024), IN_64);
  }
  const bounds = tables + BOUNDS;
  store<f64>(bounds, 0.005);
  store<f64>(bounds, 0.008, 8);
  store<f64>(bounds, 0.0125, 16);
  store<f64>(bounds, 0.02, 24);
  store<f64>(bounds, 0.03125, 32);
  store<f64>(bounds, 0.05, 40);
  store<f64>(bounds, 0.08, 48);
  store<f64>(bounds, 0.125, 56);
  store<f64>(bounds, 0.2, 64);
  store<f64>(bounds, 0.3125, 72);
  store<f64>(bounds, 0.5, 80);
  store<f64>(bounds, 2, 88);
}

/** The byte at an address; zeros after the last. */
@inline
export function byteAt(at: usize, end: usize): u32 {
  return at < end ? u32(load<u8>(at)) : 0;
}

/** Whether the first bytes of both ends of the interval are the same: then they are done with. */
@inline
export function settled(low: u32, high: u32): bool {
  return ((low ^ high) & 0xff00_0000) == 0;
}

/** The end of the part of the interval that stands for a 1, whose probability is `one` / 65536. */
@inline
export function splitAt(low: u32, high: u32, one: u32): u32 {
  return low + u32((u64(high - low) * one) >> 16);
}

/** Fresh contexts, an even number of them. */
@inline
export function fill(from: usize, end: usize): void {
  for (; from < end; from += 8) store<u64>(from, (u64(FRESH) << 32) | FRESH);
}

/** How far behind the last byte the coder reads, or less than 0. */
@inline
export function beyond(coder: usize): i32 {
  return load<u32>(coder, AT) - load<u32>(coder, END);
}

/** Where `one` moves, by its rate, in the upper 22 bits. */
@inline
function stepOf(rates: usize, context: u32, one: u32): u32 {
  return u32((u64(one) * load<u32>(rates + ((context & SEEN) << 2))) >> 6) & ~SEEN;
}

/** A context after a 1: its probability moved towards 1. `rates` are those of IN_256 or IN_64. */
@inline
export function raised(rates: usize, context: u32): u32 {
  const step = stepOf(rates, context, WHOLE - (context >> 10));
  return context + step + u32((context & SEEN) < MOST_SEEN);
}

/** A context after a 0. */
@inline
export function lowered(rates: usize, context: u32): u32 {
  return context - stepOf(rates, context, context >> 10) + u32((context & SEEN) < MOST_SEEN);
}

/** A context after a bit, of which `all` is 32 copies: the same without a branch, for bits that nobody can guess. */
@inline
export function moved(rates: usize, context: u32, all: u32): u32 {
  const step = stepOf(rates, context, (context >> 10) ^ (all & WHOLE));
  return context + ((step ^ ~all) - ~all) + u32((context & SEEN) < MOST_SEEN);
}

/** A bit in a context of its own; the coder stays in memory. */
export function adaptive(coder: usize, tables: usize, context: usize): u32 {
  let low = load<u32>(coder, LOW);
  let high = load<u32>(coder, HIGH);
  let code = load<u32>(coder, CODE);
  let from = <usize>load<u32>(coder, AT);
  const end = <usize>load<u32>(coder, END);
  const state = load<u32>(context);
  const split = splitAt(low, high, (state >> 16) | 1);
  const set = -u32(code <= split);
  high = select(split, high, set);
  low = select(low, split + 1, set);
  store<u32>(context, moved(tables + IN_256, state, set));
  while (settled(low, high)) {
    low <<= 8;
    high = (high << 8) | 255;
    code = (code << 8) | byteAt(from++, end);
  }
  store<u32>(coder, low, LOW);
  store<u32>(coder, high, HIGH);
  store<u32>(coder, code, CODE);
  store<u32>(coder, u32(from), AT);
  return set;
}

/** stretch of a context's probability. */
@inline
export function stretch(tables: usize, context: u32): i32 {
  return load<i16>(tables + ((context >> 20) << 1), STRETCH);
}

/** A weight after a bit that was `miss` away from its prediction, in which `stretched` took part. */
@inline
export function learned(weight: i32, miss: i32, stretched: i32, learning: i32): i32 {
  return weight + ((miss * stretched + (1 << (learning - 1))) >> learning);
}

/** The probability that weighted stretched ones come to. */
@inline
export function squash(tables: usize, sum: i32): u32 {
  return load<u16>(tables + ((min(max(sum >> 16, -2048), 2047) + 2048) << 1));
}
