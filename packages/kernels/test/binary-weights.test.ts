import fc from 'fast-check';
import { describe, test } from 'vitest';
import { BUILDS, check, expectExact, input, output, random, run, seeds } from './helpers.ts';

const f = Math.fround;
const cases = fc.record({
  rows: fc.integer({ min: 1, max: 9 }),
  columns: fc.integer({ min: 1, max: 14 }),
  outer: fc.integer({ min: 1, max: 3 }),
  part: fc.constantFrom(0, 0.1, 1),
  seed: seeds,
});

function values(length: number, seed: number): Float32Array {
  const next = random(seed);
  return Float32Array.from(
    { length },
    () => [next() * 4 - 2, 0, -0, 1, -1][Math.floor(next() * 9)] ?? next() * 4 - 2,
  );
}

/** The sum of each column divided by the number of rows, each operation rounded to float32. */
function means(x: Float32Array, columns: number, of: (x: number, i: number) => number): number[] {
  const sums = new Float32Array(columns);
  for (const [i, value] of x.entries()) sums[i % columns] = f(sums[i % columns]! + of(value, i));
  return Array.from(sums, (sum) => f(sum / (x.length / columns)));
}

const signed = (value: number, x: number) => (x < 0 ? -value : value);

describe.each(BUILDS)('binary weights, $build', ({ kernels }) => {
  test('binaryWeights has the mean magnitude of each column with the signs', () =>
    check(cases, 200, ({ rows, columns, seed }) => {
      const w = values(rows * columns, seed);
      const { y, scale } = run(
        { w: input(w), y: output(w.length), scale: output(columns) },
        (at) => kernels.binaryWeights(at.w, at.y, at.scale, rows, columns),
        seed,
      );
      const expected = means(w, columns, Math.abs);
      expectExact(scale, expected);
      expectExact(
        y,
        Array.from(w, (x, i) => signed(expected[i % columns]!, x)),
      );
    }));

  test('binaryWeightsGradient goes by the signs and by the scale', () =>
    check(cases, 200, ({ rows, columns, seed }) => {
      const [w, dy] = [values(rows * columns, seed), values(rows * columns, seed + 1)];
      const scale = values(columns, seed + 2);
      const { dw } = run(
        { dy: input(dy), w: input(w), scale: input(scale), dw: output(w.length) },
        (at) => kernels.binaryWeightsGradient(at.dy, at.w, at.scale, at.dw, rows, columns),
        seed,
      );
      const along = means(dy, columns, (g, i) => signed(g, w[i]!));
      expectExact(
        dw,
        Array.from(w, (x, i) => {
          const bySign = Math.abs(x) <= 1 ? f(dy[i]! * scale[i % columns]!) : 0;
          return f(bySign + signed(along[i % columns]!, x));
        }),
      );
    }));

  test('centreClip takes off the mean over the middle axis and cuts', () =>
    check(cases, 200, ({ outer, rows, columns, seed }) => {
      const size = rows * columns;
      const x = values(outer * size, seed);
      const { y } = run(
        { x: input(x), y: output(x.length) },
        (at) => kernels.centreClip(at.x, at.y, outer, rows, columns),
        seed,
      );
      const mean = Array.from({ length: outer }, (_, o) =>
        means(x.subarray(o * size, (o + 1) * size), columns, (value) => value),
      );
      const cut = (value: number) => Math.max(-1, Math.min(1, value));
      expectExact(
        y,
        Array.from(x, (value, i) => cut(f(value - mean[Math.floor(i / size)]![i % columns]!))),
      );
    }));

  test('approach goes a part of the way', () =>
    check(cases, 100, ({ rows, columns, part, seed }) => {
      const count = rows * columns;
      const [old, value] = [values(count, seed), values(count, seed + 1)];
      const { out } = run(
        { old: input(old), value: input(value), out: output(count) },
        (at) => kernels.approach(at.old, at.value, at.out, count, part),
        seed,
      );
      expectExact(
        out,
        Array.from(old, (from, i) => f(from - f(f(from - value[i]!) * f(part)))),
      );
    }));
});
