import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  BUILDS,
  check,
  expectExact,
  expectWithin,
  input,
  integers,
  output,
  random,
  reals,
  run,
  scratch,
  seeds,
  withNaN,
} from './helpers.ts';

/** A tensor seen as [outer, reduce, inner]. */
interface View {
  outer: number;
  reduce: number;
  inner: number;
  flag: boolean;
  seed: number;
}
const views = (reduce: fc.Arbitrary<number>): fc.Arbitrary<View> =>
  fc.record({
    outer: fc.integer({ min: 1, max: 4 }),
    reduce,
    inner: fc.constantFrom(1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 20, 33, 50),
    flag: fc.boolean(),
    seed: seeds,
  });
const short = views(fc.integer({ min: 1, max: 40 }));
const long = views(fc.constantFrom(127, 128, 129, 511, 512, 513, 515, 1000));
const both = fc.oneof(short, long);

/** Combines the values of x over the middle axis. */
function reference(
  x: ArrayLike<number>,
  { outer, reduce, inner }: View,
  combine: (values: number[]) => number,
): number[] {
  return Array.from({ length: outer * inner }, (_, i) => {
    const start = Math.floor(i / inner) * reduce * inner + (i % inner);
    return combine(Array.from({ length: reduce }, (_, r) => x[start + r * inner]!));
  });
}
const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);

describe.each(BUILDS)('reductions, $build', ({ kernels }) => {
  const summed = (x: Float32Array, view: View, divisor: number) =>
    run(
      {
        x: input(x),
        out: output(view.outer * view.inner),
        work: scratch(kernels.sumScratch(view.inner)),
      },
      ({ x, out, work }) =>
        kernels.sumMiddle(x, out, view.outer, view.reduce, view.inner, divisor, work),
      view.seed,
    ).out;
  const countOf = ({ outer, reduce, inner }: View) => outer * reduce * inner;

  test('sumMiddle equals the sums', () =>
    check(both, 200, (view) => {
      const x = integers(countOf(view), view.seed);
      if (view.flag) withNaN(x, view.seed);
      expectExact(summed(x, view, 1), reference(x, view, sum));
    }));

  test('sumMiddle divides', () =>
    check(both, 100, (view) => {
      const x = integers(countOf(view), view.seed);
      const expected = reference(x, view, (values) => Math.fround(sum(values) / 7));
      expectExact(summed(x, view, 7), expected);
    }));

  test('sumMiddle is as exact as ten roundings allow', () =>
    check(both, 100, (view) => {
      const x = reals(countOf(view), view.seed);
      const sizes = reference(x, view, (values) => sum(values.map(Math.abs)));
      const bound = (i: number) => 11 * 2 ** -24 * sizes[i]!;
      expectWithin(summed(x, view, 1), reference(x, view, sum), bound);
    }));

  test('sumMiddle does not drown in a long sum', () => {
    const view = { outer: 1, reduce: 1_000_000, inner: 1, flag: false, seed: 0 };
    expect(summed(new Float32Array(1_000_000).fill(0.1), view, 1)[0]).toBeCloseTo(100_000, 1);
  });

  test('sumMiddleInt wraps around', () =>
    check(both, 200, (view) => {
      const next = random(view.seed);
      const x = new Int32Array(countOf(view)).map(() => Math.floor(next() * 2 ** 32));
      const { out } = run(
        { x: input(x), out: output(view.outer * view.inner) },
        (at) => kernels.sumMiddleInt(at.x, at.out, view.outer, view.reduce, view.inner),
        view.seed,
      );
      const expected = reference(x, view, (values) => sum(values) | 0);
      expectExact(new Int32Array(out.buffer), expected);
    }));

  test('extremeMiddle gives the maximum or the minimum, or NaN', () =>
    check(both, 200, (view) => {
      const x = integers(countOf(view), view.seed);
      if (view.seed % 2) withNaN(x, view.seed);
      if (view.seed % 3 === 0) x.fill(Number.NEGATIVE_INFINITY, 0, Math.ceil(x.length / 2));
      const { out } = run(
        { x: input(x), out: output(view.outer * view.inner) },
        (at) => kernels.extremeMiddle(at.x, at.out, view.outer, view.reduce, view.inner, view.flag),
        view.seed,
      );
      const choose = view.flag ? Math.min : Math.max;
      expectExact(
        out,
        reference(x, view, (values) => choose(...values)),
      );
    }));
});
