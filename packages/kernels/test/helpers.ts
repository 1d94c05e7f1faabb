// What the tests share: both builds of the kernels, a memory that is guarded on all sides, generated
// examples, and comparisons. Expected values come from plain loops in float64, never from a kernel.
import { setFlagsFromString } from 'node:v8';
import fc from 'fast-check';
import { expect } from 'vitest';
import { hasRelaxedSimd, type Kernels, loadKernels, type Pointer } from '../src/index.ts';

// Node 20 has relaxed SIMD behind this flag, later versions without one.
if (!hasRelaxedSimd()) setFlagsFromString('--experimental-wasm-relaxed-simd');

/** What every kernel may read beyond its last operand. */
export const MARGIN = 64;
/** Guarded values around every operand; more than an image row of the tests. */
const GUARD = 512;
/** A NaN that outputs and scratch are full of: it must not come into a result. */
const CANARY = 0x7fc0_ded5;
/** What the guards hold: signalling NaN, all different. Arithmetic makes them quiet, so it is noticed. */
const guardAt = (index: number) => 0x7fa0_0000 | (index & 0xf_ffff);

export const memory: WebAssembly.Memory = new WebAssembly.Memory({ initial: 256 });

/** The builds that this engine can run, for `describe.each`. */
export const BUILDS: { build: string; kernels: Kernels }[] = [
  { build: 'plain', kernels: await loadKernels(memory, { relaxedSimd: false }) },
];
if (hasRelaxedSimd()) {
  BUILDS.push({ build: 'relaxed', kernels: await loadKernels(memory, { relaxedSimd: true }) });
}

type Values = Float32Array | Int32Array;
interface Operand {
  values: Values;
  /** Whether the kernel may write there. */
  written: boolean;
}

/** An operand that must stay as it is. */
export const input = (values: Values): Operand => ({ values, written: false });
/** An operand that the kernel changes. */
export const inOut = (values: Values): Operand => ({ values, written: true });
/** A result or scratch of `length` values; full of NaN before the call. */
export const output = (length: number): Operand => {
  const values = new Float32Array(length);
  new Uint32Array(values.buffer).fill(CANARY);
  return { values, written: true };
};
/** Exactly as many bytes as a `...Scratch` function says. */
export function scratch(bytes: number): Operand {
  expect(bytes % 4).toBe(0);
  return output(bytes / 4);
}

const bits = ({ buffer, byteOffset, length }: Values) =>
  new Uint32Array(buffer, byteOffset, length);

/**
 * Lays the operands out with guards between them, the last one 64 bytes before the end of the memory;
 * which is the last changes with `turn`. Calls the kernel with the addresses, asserts that it wrote to
 * its outputs only, and gives back what every operand holds then.
 */
export function run<Name extends string>(
  operands: Record<Name, Operand>,
  call: (at: Record<Name, Pointer>) => void,
  turn: number,
): Record<Name, Values> {
  const names = Object.keys(operands) as Name[];
  const order = names.map((_, i) => names[(i + turn) % names.length] as Name);
  const total = order.reduce((sum, name) => sum + operands[name].values.length + GUARD, 0);
  const end = memory.buffer.byteLength / 4;
  const start = end - MARGIN / 4 - total;
  if (start < GUARD) throw new Error('The example needs more memory than the tests have.');
  const words = new Uint32Array(memory.buffer);
  for (let i = start - GUARD; i < end; i++) words[i] = guardAt(i);
  const at = {} as Record<Name, Pointer>;
  let next = start;
  for (const name of order) {
    next += GUARD;
    at[name] = next * 4;
    words.set(bits(operands[name].values), next);
    next += operands[name].values.length;
  }
  call(at);
  const results = {} as Record<Name, Values>;
  next = start - GUARD;
  for (const name of order) {
    const { values, written } = operands[name];
    expectGuard(words, next, at[name] / 4, `before ${name}`);
    next = at[name] / 4 + values.length;
    const now = words.slice(at[name] / 4, next);
    if (!written) expect(same(now, bits(values)), `${name} was changed`).toBe(true);
    results[name] = values instanceof Int32Array ? new Int32Array(now.buffer) : floats(now);
  }
  expectGuard(words, next, end, 'at the end');
  return results;
}

const floats = ({ buffer }: Uint32Array) => new Float32Array(buffer);
const same = (a: Uint32Array, b: Uint32Array) => a.every((value, i) => value === b[i]);

function expectGuard(words: Uint32Array, from: number, to: number, where: string): void {
  const broken = words.subarray(from, to).findIndex((word, i) => word !== guardAt(from + i));
  expect(broken, `the kernel wrote into the guard ${where}, ${to - from} values`).toBe(-1);
}

/** Runs a property on `runs` generated examples, the same ones in every run. */
export function check<T>(
  arbitrary: fc.Arbitrary<T>,
  runs: number,
  property: (example: T) => void,
): void {
  fc.assert(fc.property(arbitrary, property), { seed: 20_240_611, numRuns: runs });
}

/** A seed for values, and which operand lies last. */
export const seeds: fc.Arbitrary<number> = fc.nat(10_000);

/** Numbers from 0 to 1, the same for the same seed. */
export function random(seed: number): () => number {
  let state = (seed * 2_654_435_761 + 12_345) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let z = Math.imul(state ^ (state >>> 15), 1 | state);
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z;
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Whole numbers from -4 to 4. Sums of their products are exact in float32, in whatever order. */
export function integers(length: number, seed: number): Float32Array {
  const next = random(seed);
  return Float32Array.from({ length }, () => Math.floor(next() * 9) - 4);
}

/** Values between -1 and 1. */
export function reals(length: number, seed: number): Float32Array {
  const next = random(seed);
  return Float32Array.from({ length }, () => 2 * next() - 1);
}

/** Puts a NaN at a place that depends on `seed`. */
export function withNaN(values: Float32Array, seed: number): Float32Array {
  values[Math.floor(random(seed + 77)() * values.length)] = Number.NaN;
  return values;
}

/** Asserts equality value by value; NaN equals NaN, -0 equals 0. */
export function expectExact(actual: Values, expected: ArrayLike<number>): void {
  expectWithin(actual, expected, () => 0);
}

/** Asserts |actual - expected| <= bound(i); NaN must stand exactly where it is expected. */
export function expectWithin(
  actual: Values,
  expected: ArrayLike<number>,
  bound: (index: number) => number,
): void {
  expect(actual.length).toBe(expected.length);
  for (let i = 0; i < actual.length; i++) {
    const [a, e] = [actual[i] as number, expected[i] as number];
    if (a === e || (Number.isNaN(a) && Number.isNaN(e))) continue;
    if (!(Math.abs(a - e) <= bound(i))) {
      expect.fail(`value ${i} of ${actual.length} is ${a}, not ${e} (within ${bound(i)})`);
    }
  }
}
