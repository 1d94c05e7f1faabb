import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  BUILDS,
  check,
  expectExact,
  expectWithin,
  inOut,
  input,
  integers,
  output,
  random,
  reals,
  run,
  seeds,
} from './helpers.ts';

/** Whole numbers among which are 0, -0, NaN and both infinities. */
function special(length: number, seed: number): Float32Array {
  const odd = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, -0];
  const next = random(seed + 5);
  return integers(length, seed).map((value) =>
    next() < 0.3 ? odd[Math.floor(next() * odd.length)]! : value,
  );
}

const counts = fc.record({
  count: fc.oneof(fc.integer({ min: 0, max: 20 }), fc.constantFrom(63, 64, 129)),
  a: fc.boolean(),
  b: fc.boolean(),
  c: fc.boolean(),
  seed: seeds,
});
const rows = fc.record({
  rows: fc.integer({ min: 1, max: 6 }),
  columns: fc.integer({ min: 1, max: 21 }),
  seed: seeds,
});

describe.each(BUILDS)('elementwise, $build', ({ kernels }) => {
  test('clamp cuts and keeps a NaN', () =>
    check(counts, 200, ({ count, seed }) => {
      const x = special(count, seed);
      const { out } = run(
        { x: input(x), out: output(count) },
        (at) => kernels.clamp(at.x, at.out, count, -2, 3),
        seed,
      );
      expectExact(
        out,
        Array.from(x, (value) => Math.min(3, Math.max(-2, value))),
      );
    }));

  test('extreme takes the larger or the smaller, and every NaN', () =>
    check(counts, 300, ({ count, a: oneA, b: oneB, c: least, seed }) => {
      const [p, q] = [special(oneA ? 1 : count, seed), special(oneB ? 1 : count, seed + 1)];
      const { out } = run(
        { a: input(p), b: input(q), out: output(count) },
        (at) => kernels.extreme(at.a, at.b, at.out, count, oneA, oneB, least),
        seed,
      );
      const choose = least ? Math.min : Math.max;
      expectExact(
        out,
        Array.from({ length: count }, (_, i) => choose(p[oneA ? 0 : i]!, q[oneB ? 0 : i]!)),
      );
    }));

  test('multiply is a b, also in place', () =>
    check(counts, 300, ({ count, a: oneA, b: oneB, c: inPlace, seed }) => {
      const [p, q] = [special(oneA ? 1 : count, seed), special(oneB ? 1 : count, seed + 1)];
      const both = oneA && oneB && count > 1; // one value times one value is one value
      if (both) return;
      const over = inPlace && !oneA;
      const { a, out } = run(
        { a: over ? inOut(p) : input(p), b: input(q), out: output(over ? 0 : count) },
        (at) => kernels.multiply(at.a, at.b, over ? at.a : at.out, count, oneA, oneB),
        seed,
      );
      const expected = Float32Array.from({ length: count }, (_, i) =>
        Math.fround(p[oneA ? 0 : i]! * q[oneB ? 0 : i]!),
      );
      expectExact(over ? a : out, expected);
    }));

  test('multiplyRows multiplies every row by one', () =>
    check(
      fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 23 }), seeds),
      200,
      ([rows, columns, seed]) => {
        const [x, row] = [special(rows * columns, seed), special(columns, seed + 1)];
        const { out } = run(
          { x: input(x), row: input(row), out: output(x.length) },
          (at) => kernels.multiplyRows(at.x, at.row, at.out, rows, columns),
          seed,
        );
        expectExact(
          out,
          x.map((value, i) => value * row[i % columns]!),
        );
      },
    ));

  test('sign is 1, -1 or 0', () =>
    check(counts, 200, ({ count, seed }) => {
      const x = special(count, seed);
      const { out } = run(
        { x: input(x), out: output(count) },
        (at) => kernels.sign(at.x, at.out, count),
        seed,
      );
      expectExact(
        out,
        Array.from(x, (value) => (value > 0 ? 1 : value < 0 ? -1 : 0)),
      );
    }));

  test('binarySign is 1 at 0 and keeps a NaN', () =>
    check(counts, 200, ({ count, seed }) => {
      const x = special(count, seed);
      const { out } = run(
        { x: input(x), out: output(count) },
        (at) => kernels.binarySign(at.x, at.out, count),
        seed,
      );
      expectExact(
        out,
        Array.from(x, (value) => (value < 0 ? -1 : value >= 0 ? 1 : Number.NaN)),
      );
    }));

  test('binarySample compares with the hash that it says', () =>
    check(counts, 200, ({ count, seed }) => {
      const hash = (i: number, first: number, second: number) => {
        let h = BigInt((i ^ first) >>> 0);
        const times = (factor: bigint) => BigInt.asUintN(32, h * factor);
        h ^= h >> 16n;
        h = times(0x85ebca6bn);
        h = h ^ BigInt(second) ^ (h >> 13n);
        h = times(0xc2b2ae35n);
        return Number(h ^ (h >> 16n));
      };
      const next = random(seed);
      const x = reals(count, seed);
      const [first, second] = [next, next].map((draw) => Math.floor(draw() * 2 ** 32)) as [
        number,
        number,
      ];
      const { out } = run(
        { x: input(x), out: output(count) },
        (at) => kernels.binarySample(at.x, at.out, count, first, second),
        seed,
      );
      expectExact(
        out,
        Array.from(x, (value, i) => {
          const u = (hash(i, first, second) >>> 8) / 2 ** 24;
          return u * 2 - 1 < value ? 1 : -1;
        }),
      );
    }));

  test('prelu scales what is below 0', () =>
    check(counts, 200, ({ count, a: one, seed }) => {
      const [x, alpha] = [special(count, seed), integers(one ? 1 : count, seed + 1)];
      const { out } = run(
        { x: input(x), alpha: input(alpha), out: output(count) },
        (at) => kernels.prelu(at.x, at.alpha, at.out, count, one),
        seed,
      );
      expectExact(
        out,
        Array.from(x, (value, i) => (value < 0 ? alpha[one ? 0 : i]! * value : value)),
      );
    }));

  test('applyMask keeps x where the mask is 1; maskBits knows a mask', () =>
    check(fc.record({ count: fc.nat(600), wrong: fc.nat(2000), seed: seeds }), 300, (given) => {
      const { count, wrong, seed } = given;
      const x = special(count, seed);
      const next = random(seed + 1);
      const mask = Float32Array.from({ length: count }, () => Number(next() < 0.4));
      const bits = new Float32Array(4 * Math.floor(count / 128));
      const { out } = run(
        { x: input(x), mask: input(mask), bits: output(bits.length), out: output(count) },
        (at) => {
          expect(kernels.maskBits(at.mask, at.bits, count)).toBe(1);
          kernels.applyMask(at.x, at.bits, at.mask, at.out, count);
        },
        seed,
      );
      expectExact(
        out,
        Array.from(x, (value, i) => (mask[i] === 1 ? value : 0)),
      );
      if (wrong >= count) return;
      mask[wrong] = [0.5, -1, Number.NaN][wrong % 3]!;
      run(
        { mask: input(mask), bits: output(bits.length) },
        (at) => expect(kernels.maskBits(at.mask, at.bits, count)).toBe(0),
        seed,
      );
    }));

  test('reluGradient passes dy where x is above 0, and keeps a NaN', () =>
    check(counts, 200, ({ count, seed }) => {
      const [x, dy] = [special(count, seed), integers(count, seed + 1)];
      const { dx } = run(
        { x: input(x), dy: input(dy), dx: output(count) },
        (at) => kernels.reluGradient(at.x, at.dy, at.dx, count),
        seed,
      );
      expectExact(
        dx,
        Array.from(x, (value, i) => (Number.isNaN(value) ? value : value > 0 ? dy[i]! : 0)),
      );
    }));

  test('clampGradient passes dy between the bounds, both included', () =>
    check(counts, 200, ({ count, seed }) => {
      const [x, dy] = [special(count, seed), integers(count, seed + 1)];
      const { dx } = run(
        { x: input(x), dy: input(dy), dx: output(count) },
        (at) => kernels.clampGradient(at.x, at.dy, at.dx, count, -2, 3),
        seed,
      );
      expectExact(
        dx,
        Array.from(x, (value, i) => (value >= -2 && value <= 3 ? dy[i]! : 0)),
      );
    }));

  test('softmaxGradient is y (dy - sum of y dy) in every row', () =>
    check(rows, 200, ({ rows, columns, seed }) => {
      const count = rows * columns;
      const y = reals(count, seed).map(Math.abs);
      const dy = reals(count, seed + 1);
      if (seed % 2) dy[seed % count] = Number.NaN;
      const { dx } = run(
        { y: input(y), dy: input(dy), dx: output(count) },
        (at) => kernels.softmaxGradient(at.y, at.dy, at.dx, rows, columns),
        seed,
      );
      const expected = Array.from(y, (value, i) => {
        const start = i - (i % columns);
        let sum = 0;
        for (let j = start; j < start + columns; j++) sum += y[j]! * dy[j]!;
        return value * (dy[i]! - sum);
      });
      expectWithin(dx, expected, () => 1e-5);
    }));

  test('firstOutside finds the first index outside', () =>
    check(counts, 200, ({ count, seed }) => {
      const next = random(seed);
      const size = 1 + Math.floor(next() * 50);
      const indices = Int32Array.from({ length: count }, () => Math.floor(next() * size));
      const odd = [size, -1, -(2 ** 31), 2 ** 31 - 1];
      for (let i = 0; i < count; i++) if (next() < 0.05) indices[i] = odd[i % 4]!;
      let found = 0;
      run(
        { indices: input(indices) },
        (at) => {
          found = kernels.firstOutside(at.indices, count, size);
        },
        seed,
      );
      expect(found).toBe(indices.findIndex((index) => index < 0 || index >= size));
    }));

  test('gatherBlocks copies blocks of any length', () =>
    check(
      fc.record({
        count: fc.integer({ min: 1, max: 12 }),
        bytes: fc.oneof(fc.integer({ min: 1, max: 40 }), fc.constantFrom(4, 64, 255, 256, 257)),
        seed: seeds,
      }),
      200,
      ({ count, bytes, seed }) => {
        const next = random(seed);
        const size = 7;
        const words = (length: number) => new Int32Array(Math.ceil(length / 4));
        const x = words(size * bytes).map(() => Math.floor(next() * 2 ** 32));
        const indices = Int32Array.from({ length: count }, () => Math.floor(next() * size));
        const { out } = run(
          { x: input(x), indices: input(indices), out: output(words(count * bytes).length) },
          (at) => kernels.gatherBlocks(at.x, at.indices, at.out, count, bytes),
          seed,
        );
        const [from, to] = [new Uint8Array(x.buffer), new Uint8Array(out.buffer)];
        const expected = Array.from(indices, (index) => [
          ...from.subarray(index * bytes, (index + 1) * bytes),
        ]).flat();
        expect([...to.subarray(0, count * bytes)]).toEqual(expected);
        const rest = new Uint8Array(output(1).values.buffer).subarray((count * bytes) % 4 || 4);
        expect([...to.subarray(count * bytes)], 'bytes behind the last block').toEqual([...rest]);
      },
    ));

  test('copyBlocks copies blocks of any length at any distance, forwards and backwards', () =>
    check(
      fc.record({
        count: fc.integer({ min: 0, max: 9 }),
        bytes: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.constantFrom(4, 64, 255, 256, 257)),
        gaps: fc.tuple(fc.nat(20), fc.nat(20)),
        back: fc.boolean(),
        seed: seeds,
      }),
      200,
      ({ count, bytes, gaps, back, seed }) => {
        const next = random(seed);
        const [fromStep, toStep] = gaps.map((gap) => bytes + gap) as [number, number];
        const words = (step: number) => new Int32Array(Math.ceil((count * step) / 4));
        const x = words(fromStep).map(() => Math.floor(next() * 2 ** 32));
        const length = words(toStep).length;
        const last = back ? Math.max(0, count - 1) * fromStep : 0;
        const { out } = run(
          { x: input(x), out: output(length) },
          (at) =>
            kernels.copyBlocks(
              at.x + last,
              at.out,
              count,
              bytes,
              back ? -fromStep : fromStep,
              toStep,
            ),
          seed,
        );
        const from = new Uint8Array(x.buffer);
        const expected = new Uint8Array(output(length).values.buffer);
        for (let i = 0; i < count; i++) {
          const start = (back ? count - 1 - i : i) * fromStep;
          expected.set(from.subarray(start, start + bytes), i * toStep);
        }
        expect([...new Uint8Array(out.buffer)]).toEqual([...expected]);
      },
    ));
});
