// Binary arithmetic decoding, with probabilities that follow the bits. Whole numbers only, so that every machine
// computes the same; the writing half in packages/io/src/arithmetic does the same sums.

// A coder is five words: low, high and code of the interval, the address of the next byte, the end of the bytes.
export const LOW: usize = 0;
export const HIGH: usize = 4;
export const CODE: usize = 8;
const AT: usize = 12;
const END: usize = 16;

// Tables: u16 squash[4096], i16 stretch[4096], i32 rates[256], f64 bounds[12].
const STRETCH: usize = 8192;
const RATES: usize = 16384;
export const BOUNDS: usize = 17408;

/** A probability is a number of 16 bits; none is nearer to 0 or 1 than this. */
const LEAST: i32 = 24;
const MOST: i32 = 65535 - LEAST;
const SURE: i32 = 16;

/** A context before its first bit: a probability of one half in the upper 16 bits, bits seen in the lower. */
export const FRESH: u32 = 0x8000_0000;

/**
 * Fills the tables, 17504 bytes: squash(s) = 65536 / (1 + e^-x) with x = 10 s / 2048 for s from -2048 to 2047; stretch,
 * its inverse, for the middles of 4096 cells; rates 65536 / (n + 1.6); the upper ends of the classes of density.
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
    store<i32>(tables + (n << 2), i32(65536 / (f64(n) + 1.6)), RATES);
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

/** The next byte; zeros after the last. */
@inline
export function nextByte(coder: usize): u32 {
  const at = load<u32>(coder, AT);
  store<u32>(coder, at + 1, AT);
  return at < load<u32>(coder, END) ? u32(load<u8>(at)) : 0;
}

/** How far behind the last byte the coder reads, or less than 0. */
@inline
export function beyond(coder: usize): i32 {
  return load<u32>(coder, AT) - load<u32>(coder, END);
}

/** A bit that is 1 with probability `one` / 65536. */
export function bit(coder: usize, one: u32): u32 {
  let low = load<u32>(coder, LOW);
  let high = load<u32>(coder, HIGH);
  let code = load<u32>(coder, CODE);
  const split = low + u32((u64(high - low) * one) >> 16);
  const set = u32(code <= split);
  if (set) high = split;
  else low = split + 1;
  while (((low ^ high) & 0xff00_0000) == 0) {
    low <<= 8;
    high = (high << 8) | 255;
    code = (code << 8) | nextByte(coder);
  }
  store<u32>(coder, low, LOW);
  store<u32>(coder, high, HIGH);
  store<u32>(coder, code, CODE);
  return set;
}

/** The rate of a context: 1 / (n + 1.6) after n bits, and no less than `slowest`, of 65536. */
@inline
function rateOf(tables: usize, context: u32, slowest: i32): i32 {
  return max(load<i32>(tables + ((context & 255) << 2), RATES), slowest);
}

@inline
function withOne(context: u32, one: i32): u32 {
  return (u32(one) << 16) | min((context & 255) + 1, 255);
}

/** A context after a 1: its probability moved towards 1. */
@inline
export function raised(tables: usize, context: u32, slowest: i32): u32 {
  const one = i32(context >> 16);
  const step = ((65535 - one) * rateOf(tables, context, slowest)) >> 16;
  return withOne(context, min(one + step, MOST));
}

/** A context after a 0. */
@inline
export function lowered(tables: usize, context: u32, slowest: i32): u32 {
  const one = i32(context >> 16);
  const step = (-one * rateOf(tables, context, slowest)) >> 16;
  return withOne(context, max(one + step, LEAST));
}

/** Rates of one in 256 bits. */
export const SLOW: i32 = 256;

/** A bit in a context of its own. */
export function adaptive(coder: usize, tables: usize, context: usize): u32 {
  const state = load<u32>(context);
  const set = bit(coder, state >> 16);
  store<u32>(context, set ? raised(tables, state, SLOW) : lowered(tables, state, SLOW));
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
