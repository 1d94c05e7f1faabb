import fc from 'fast-check';
import { describe, test } from 'vitest';
import { BUILDS, check, expectExact, input, output, random, run, seeds } from './helpers.ts';

const f = Math.fround;

const cases = fc.record({
  rows: fc.integer({ min: 1, max: 4 }),
  channels: fc.integer({ min: 1, max: 11 }),
  inner: fc.oneof(fc.constant(1), fc.integer({ min: 2, max: 21 })),
  bits: fc.constantFrom(2, 4, 8),
  narrow: fc.boolean(),
  symmetric: fc.boolean(),
  /** All zeros, far from 0 on either side, around 0, with a NaN. */
  kind: fc.constantFrom('zeros', 'above', 'below', 'around', 'tiny', 'nan'),
  seed: seeds,
});

type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never;

function made({ rows, channels, inner, kind, seed }: Case) {
  const next = random(seed);
  const draw = () => {
    if (kind === 'zeros') return 0;
    if (kind === 'above') return 1 + next();
    if (kind === 'below') return -1 - next();
    if (kind === 'tiny') return (next() - 0.5) * 1e-31;
    if (kind === 'nan' && next() < 0.02) return Number.NaN;
    return next() * 3 - 1;
  };
  const x = Float32Array.from({ length: rows * channels * inner }, draw);
  const dy = Float32Array.from(x, () => next() - 0.5);
  return { x, dy };
}

function halfToEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** Scale, lowest and highest code of every channel; every operation rounded to float32. */
function gridsOf(x: Float32Array, { channels, inner, bits, narrow, symmetric }: Case) {
  const [lowest, highest] = [narrow ? 1 : 0, 2 ** bits - 1];
  return Array.from({ length: channels }, (_, channel) => {
    const own = x.filter((_, i) => Math.floor(i / inner) % channels === channel);
    const bottom = own.reduce((a, b) => Math.min(a, b), 0);
    const top = own.reduce((a, b) => Math.max(a, b), 0);
    const width = symmetric ? f(2 * Math.max(-bottom, top)) : f(top - bottom);
    const scale = width <= f(1e-30) ? 1 : f(width / (highest - lowest));
    const nearest = Math.floor(f(f(lowest - f(bottom / scale)) + 0.5));
    const zero = symmetric ? 2 ** (bits - 1) : Math.min(Math.max(nearest, lowest), highest);
    return { scale, low: lowest - zero, high: highest - zero };
  });
}

describe.each(BUILDS)('fakeQuant, $build', ({ kernels }) => {
  test('rounds to the grid over the range of each channel; its gradient passes between the ends', () =>
    check(cases, 400, (each) => {
      const { rows, channels, inner, bits, narrow, symmetric, seed } = each;
      const { x, dy } = made(each);
      const { out, grid } = run(
        { x: input(x), grid: output(3 * channels), out: output(x.length) },
        (to) =>
          kernels.fakeQuant(
            to.x,
            to.grid,
            to.out,
            rows,
            channels,
            inner,
            narrow ? 1 : 0,
            2 ** bits - 1,
            2 ** (bits - 1),
            symmetric,
          ),
        seed,
      );
      const grids = gridsOf(x, each);
      expectExact(
        grid!,
        (['scale', 'low', 'high'] as const).flatMap((row) => grids.map((own) => own[row])),
      );
      const gridOf = (i: number) => grids[Math.floor(i / inner) % channels]!;
      expectExact(
        out!.map((value) => value + 0),
        Array.from(x, (value, i) => {
          const { scale, low, high } = gridOf(i);
          const code = Math.min(high, Math.max(low, halfToEven(f(value / scale))));
          return f(code * scale) + 0;
        }),
      );
      const { dx } = run(
        { dy: input(dy), x: input(x), grid: input(Float32Array.from(grid!)), dx: output(x.length) },
        (to) => kernels.fakeQuantGradient(to.dy, to.x, to.grid, to.dx, rows, channels, inner),
        seed,
      );
      expectExact(
        dx!,
        Array.from(x, (value, i) => {
          const { scale, low, high } = gridOf(i);
          return value >= f(low * scale) && value <= f(high * scale) ? dy[i]! : 0;
        }),
      );
    }));
});
