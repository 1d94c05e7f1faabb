import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BUILDS, check, input, integers, output, random, run, seeds } from './helpers.ts';

const counts = fc.record({
  count: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.constantFrom(63, 64, 129)),
  a: fc.boolean(),
  b: fc.boolean(),
  seed: seeds,
});

/** Small whole numbers, so with ties, among which are -0, NaN and both infinities. */
function special(length: number, seed: number): Float32Array {
  const odd = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, -0];
  const next = random(seed + 5);
  return integers(length, seed).map((value) =>
    next() < 0.3 ? odd[Math.floor(next() * odd.length)]! : value,
  );
}

/** Bytes of which half are 0, and the others not 1 alone; as words, which the last of them fill up. */
function flags(length: number, seed: number): { words: Int32Array<ArrayBuffer>; at: Uint8Array } {
  const words = new Int32Array(Math.ceil(length / 4));
  const at = new Uint8Array(words.buffer);
  const next = random(seed);
  for (let i = 0; i < length; i++) at[i] = next() < 0.5 ? 0 : next() < 0.5 ? 1 : next() * 255;
  return { words, at };
}

/** Asserts that `out` holds these bytes and behind them is as it was. */
function expectBytes(out: Float32Array | Int32Array, expected: number[]): void {
  const wanted = output(out.length).values;
  new Uint8Array(wanted.buffer).set(expected);
  expect([...new Uint8Array(out.buffer)]).toEqual([...new Uint8Array(wanted.buffer)]);
}

const COMPARISONS = [
  (a: number, b: number) => a === b,
  (a: number, b: number) => a !== b,
  (a: number, b: number) => a < b,
  (a: number, b: number) => a <= b,
];

describe.each(BUILDS)('comparisons, $build', ({ kernels }) => {
  test.each([0, 1, 2, 3])('compare, kind %d', (kind) =>
    check(counts, 200, ({ count, a: oneA, b: oneB, seed }) => {
      // One value at least: that is what stands for all.
      const [p, q] = [special(oneA ? 1 : count, seed), special(oneB ? 1 : count, seed + 1)];
      const { out } = run(
        { a: input(p), b: input(q), out: output(Math.ceil(count / 4)) },
        (at) => kernels.compare(at.a, at.b, at.out, count, oneA, oneB, kind),
        seed,
      );
      expectBytes(
        out,
        Array.from({ length: count }, (_, i) =>
          Number(COMPARISONS[kind]!(p[oneA ? 0 : i]!, q[oneB ? 0 : i]!)),
        ),
      );
    }),
  );

  test.each([false, true])('logical, either: %j', (either) =>
    check(counts, 200, ({ count, a: oneA, b: oneB, seed }) => {
      const [p, q] = [flags(oneA ? 1 : count, seed), flags(oneB ? 1 : count, seed + 1)];
      const { out } = run(
        { a: input(p.words), b: input(q.words), out: output(Math.ceil(count / 4)) },
        (at) => kernels.logical(at.a, at.b, at.out, count, oneA, oneB, either),
        seed,
      );
      expectBytes(
        out,
        Array.from({ length: count }, (_, i) => {
          const [left, right] = [p.at[oneA ? 0 : i] !== 0, q.at[oneB ? 0 : i] !== 0];
          return Number(either ? left || right : left && right);
        }),
      );
    }),
  );

  test('logicalNot', () =>
    check(counts, 200, ({ count, seed }) => {
      const x = flags(count, seed);
      const { out } = run(
        { x: input(x.words), out: output(Math.ceil(count / 4)) },
        (at) => kernels.logicalNot(at.x, at.out, count),
        seed,
      );
      expectBytes(
        out,
        Array.from(x.at.subarray(0, count), (value) => Number(value === 0)),
      );
    }));

  test('select takes bits of either', () =>
    check(counts, 200, ({ count, seed }) => {
      const condition = flags(count, seed);
      const next = random(seed);
      const bits = () => new Int32Array(count).map(() => Math.floor(next() * 2 ** 32));
      const [t, e] = [bits(), bits()];
      const { out } = run(
        { condition: input(condition.words), t: input(t), e: input(e), out: output(count) },
        (at) => kernels.select(at.condition, at.t, at.e, at.out, count),
        seed,
      );
      expect([...new Int32Array(out.buffer)]).toEqual(
        Array.from(t, (value, i) => (condition.at[i] ? value : e[i]!)),
      );
    }));
});
