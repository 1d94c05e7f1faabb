import fc from 'fast-check';
import { describe, test } from 'vitest';
import { BUILDS, check, expectExact, input, output, random, run, seeds } from './helpers.ts';

const layouts = fc.record({
  rows: fc.integer({ min: 0, max: 4 }),
  channels: fc.integer({ min: 1, max: 11 }),
  inner: fc.oneof(fc.constant(1), fc.integer({ min: 2, max: 13 })),
  own: fc.boolean(),
  seed: seeds,
});

/** Values on and beside ties and ends, scales and bounds per channel. */
function made({
  rows,
  channels,
  inner,
  own,
  seed,
}: {
  rows: number;
  channels: number;
  inner: number;
  own: boolean;
  seed: number;
}) {
  const next = random(seed);
  const scale = Float32Array.from(
    { length: channels },
    () => [0.5, 0.1, 3, 1][Math.floor(next() * 4)]!,
  );
  const bounds = own ? channels : 1;
  const low = Float32Array.from({ length: bounds }, () => -Math.floor(next() * 8));
  const high = Float32Array.from({ length: bounds }, () => 1 + Math.floor(next() * 8));
  const size = rows * channels * inner;
  const x = Float32Array.from({ length: size }, (_, i) => {
    if (next() < 0.05) return Number.NaN;
    const steps = next() < 0.5 ? Math.floor(next() * 40 - 20) / 2 : next() * 20 - 10;
    return steps * scale[Math.floor(i / inner) % channels]!;
  });
  const dy = Float32Array.from({ length: size }, () => next() - 0.5);
  const at = (i: number) => {
    const channel = Math.floor(i / inner) % channels;
    return [scale[channel]!, low[own ? channel : 0]!, high[own ? channel : 0]!] as const;
  };
  return { x, dy, scale, low, high, size, at };
}

function halfToEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

describe.each(BUILDS)('codes, $build', ({ kernels }) => {
  test('codes rounds halves to even and keeps a NaN', () =>
    check(layouts, 300, (layout) => {
      const { rows, channels, inner, own, seed } = layout;
      const { x, scale, low, high, size, at } = made(layout);
      const { out } = run(
        { x: input(x), scale: input(scale), low: input(low), high: input(high), out: output(size) },
        (to) => kernels.codes(to.x, to.scale, to.low, to.high, to.out, rows, channels, inner, own),
        seed,
      );
      expectExact(
        out!.map((value) => value + 0),
        Array.from(x, (value, i) => {
          const [s, l, h] = at(i);
          return Math.min(h, Math.max(l, halfToEven(Math.fround(value / s)))) + 0;
        }),
      );
    }));

  test('codesGradient passes inside, ends included', () =>
    check(layouts, 300, (layout) => {
      const { rows, channels, inner, own, seed } = layout;
      const { x, dy, scale, low, high, size, at } = made(layout);
      const { out } = run(
        {
          dy: input(dy),
          x: input(x),
          scale: input(scale),
          low: input(low),
          high: input(high),
          out: output(size),
        },
        (to) =>
          kernels.codesGradient(
            to.dy,
            to.x,
            to.scale,
            to.low,
            to.high,
            to.out,
            rows,
            channels,
            inner,
            own,
          ),
        seed,
      );
      expectExact(
        out!,
        Array.from(x, (value, i) => {
          const [s, l, h] = at(i);
          const inside = value >= Math.fround(l * s) && value <= Math.fround(h * s);
          return inside ? Math.fround(dy[i]! / s) : 0;
        }),
      );
    }));
});
