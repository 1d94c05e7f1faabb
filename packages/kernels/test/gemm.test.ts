import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Kernels } from '../src/index.ts';
import { ACTIVATIONS } from '../src/index.ts';
import { sparse } from './convolutions.ts';
import {
  BUILDS,
  check,
  expectExact,
  expectWithin,
  inOut,
  input,
  integers,
  output,
  reals,
  run,
  scratch,
  seeds,
  withNaN,
} from './helpers.ts';

interface Product {
  m: number;
  n: number;
  k: number;
  transposeA: boolean;
  transposeB: boolean;
  add: boolean;
  seed: number;
}

const flags = {
  transposeA: fc.boolean(),
  transposeB: fc.boolean(),
  add: fc.boolean(),
  seed: seeds,
};
const sizes = (m: fc.Arbitrary<number>, n: fc.Arbitrary<number>, k: fc.Arbitrary<number>) =>
  fc.record({ m, n, k, ...flags });
const upTo = (max: number) => fc.integer({ min: 1, max });
const small = sizes(upTo(20), upTo(20), upTo(20));
/** More than one block of rows (128) or of k (256), and more rows than B is read in place for (192). */
const blocks = sizes(
  fc.constantFrom(1, 3, 4, 5, 127, 128, 129, 192, 193, 261),
  fc.constantFrom(1, 3, 4, 5, 7, 8, 9, 13, 16),
  fc.constantFrom(1, 2, 255, 256, 257, 300, 513),
);
/** Row steps that are multiples of 512 bytes, which are packed. */
const powers = sizes(
  fc.constantFrom(1, 2, 5, 8, 128, 256),
  fc.constantFrom(8, 20, 128, 256),
  fc.constantFrom(3, 128, 256),
);

/** A is large enough to be listed, and mostly zero; more rows than are listed at a time (256). */
const lists = fc.record({
  m: fc.constantFrom(8, 60, 257, 300),
  n: fc.constantFrom(64, 65, 71, 96, 100, 128),
  k: fc.constantFrom(33, 60, 140, 1030),
  zeros: fc.constantFrom(0.6, 0.65, 0.8, 0.95, 1),
  ...flags,
});

/** C, and the sum of the magnitudes that went into each value. */
function reference(a: Float32Array, b: Float32Array, c: Float32Array, product: Product) {
  const { m, n, k, transposeA, transposeB, add } = product;
  const sums = new Float64Array(m * n);
  const sizes = new Float64Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = add ? c[i * n + j]! : 0;
      let size = Math.abs(sum);
      for (let p = 0; p < k; p++) {
        const term =
          a[transposeA ? p * m + i : i * k + p]! * b[transposeB ? j * k + p : p * n + j]!;
        sum += term;
        size += Math.abs(term);
      }
      sums[i * n + j] = sum;
      sizes[i * n + j] = size;
    }
  }
  return { sums, sizes };
}

function multiply(
  { gemm, gemmScratch }: Kernels,
  a: Float32Array,
  b: Float32Array,
  c: Float32Array,
  { m, n, k, transposeA, transposeB, add, seed }: Product,
) {
  const operands = {
    a: input(a),
    b: input(b),
    c: add ? inOut(c) : output(c.length),
    work: scratch(gemmScratch(m, n, k, transposeB)),
  };
  return run(
    operands,
    ({ a, b, c, work }) => gemm(a, b, c, m, n, k, transposeA, transposeB, add, work),
    seed,
  ).c;
}

const operandsOf = ({ m, n, k, seed }: Product, make: typeof integers) =>
  [make(m * k, seed), make(k * n, seed + 1), make(m * n, seed + 2)] as const;

describe.each(BUILDS)('gemm, $build', ({ kernels }) => {
  const exact = (product: Product) => {
    const [a, b, c] = operandsOf(product, integers);
    if (product.seed % 3 === 0) withNaN(product.seed % 2 ? a : b, product.seed);
    expectExact(multiply(kernels, a, b, c, product), reference(a, b, c, product).sums);
  };

  test('equals the sums of products at small sizes', () => check(small, 600, exact));
  test('equals them over several blocks', () => check(blocks, 60, exact));
  test('equals them with row steps of a power of two', () => check(powers, 60, exact));

  test('equals them where most of A is zero', () =>
    check(lists, 60, (product) => {
      const [, b, c] = operandsOf(product, integers);
      const a = sparse(product.m * product.k, 1, [product.zeros, 0], product.seed);
      if (product.seed % 3 === 0) withNaN(a, product.seed);
      expectExact(multiply(kernels, a, b, c, product), reference(a, b, c, product).sums);
    }));

  test('a zero of a sparse A times NaN counts as zero, in a dense A as NaN', () => {
    for (const [share, expected] of [
      [0.9, 0],
      [0, Number.NaN],
    ] as const) {
      const product = { m: 16, n: 64, k: 600, transposeA: false, transposeB: false, add: false };
      const a = sparse(16 * 600, 1, [share, 0], 1);
      for (let row = 0; row < 16; row++) a[row * 600 + 5] = 0;
      const b = new Float32Array(600 * 64);
      b.fill(Number.NaN, 5 * 64, 6 * 64);
      const c = multiply(kernels, a, b, new Float32Array(16 * 64), { ...product, seed: 1 });
      expect(c.every((value) => Object.is(value, expected))).toBe(true);
    }
  });

  test('rounds no worse than adding one by one', () =>
    check(fc.oneof(small, blocks), 100, (product) => {
      const [a, b, c] = operandsOf(product, reals);
      const { sums, sizes } = reference(a, b, c, product);
      const bound = (product.k + 1) * 2 ** -24;
      expectWithin(multiply(kernels, a, b, c, product), sums, (i) => bound * sizes[i]!);
    }));

  test('gemmScratch grows with what is packed', () => {
    const { gemmScratch } = kernels;
    expect(gemmScratch(256, 64, 300, true)).toBeGreaterThanOrEqual(64 * 300 * 4);
    expect(gemmScratch(4, 4096, 300, false)).toBeLessThan(65_536); // B is read in place
  });
});

describe.each(BUILDS)('biasActivation, $build', ({ kernels }) => {
  const examples = fc.record({
    rows: upTo(9),
    columns: upTo(23),
    activation: fc.constantFrom(...Object.values(ACTIVATIONS)),
    biased: fc.boolean(),
    seed: seeds,
  });
  test('adds the bias and cuts, and keeps a NaN', () =>
    check(examples, 200, ({ rows, columns, activation, biased, seed }) => {
      const x = integers(rows * columns, seed).map((value) => value * 3);
      if (seed % 2) withNaN(x, seed);
      const bias = integers(columns, seed + 1);
      const { x: y } = run(
        { x: inOut(x), bias: input(bias) },
        (at) => kernels.biasActivation(at.x, rows, columns, biased ? at.bias : 0, activation),
        seed,
      );
      const { relu, relu6 } = ACTIVATIONS;
      const expected = Array.from(x, (value, i) => {
        const sum = value + (biased ? bias[i % columns]! : 0);
        if (activation === relu) return Math.max(0, sum);
        return activation === relu6 ? Math.min(6, Math.max(0, sum)) : sum;
      });
      expectExact(y, expected);
    }));
});
