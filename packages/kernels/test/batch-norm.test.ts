import fc from 'fast-check';
import { describe, test } from 'vitest';
import {
  BUILDS,
  check,
  expectWithin,
  input,
  output,
  reals,
  run,
  scratch,
  seeds,
  withNaN,
} from './helpers.ts';

const examples = fc.record({
  rows: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constantFrom(100, 301)),
  channels: fc.integer({ min: 1, max: 21 }),
  epsilon: fc.constantFrom(1e-3, 1e-2),
  seed: seeds,
});

/** The sum of value(i) over the rows of a channel. */
function columnSums(count: number, channels: number, value: (i: number) => number): Float64Array {
  const sums = new Float64Array(channels);
  for (let i = 0; i < count; i++) sums[i % channels]! += value(i);
  return sums;
}

function statistics(x: Float32Array, channels: number) {
  const rows = x.length / channels;
  const mean = columnSums(x.length, channels, (i) => x[i]! / rows);
  const variance = columnSums(x.length, channels, (i) => (x[i]! - mean[i % channels]!) ** 2 / rows);
  return { mean, variance };
}

describe.each(BUILDS)('batch normalisation, $build', ({ kernels }) => {
  test('batchNorm gives mean, variance and the normalised values', () =>
    check(examples, 200, ({ rows, channels, epsilon, seed }) => {
      const x = reals(rows * channels, seed).map((value, i) => 3 * value + (i % channels));
      if (seed % 2) withNaN(x, seed);
      const [scale, offset] = [reals(channels, seed + 1), reals(channels, seed + 2)];
      const results = run(
        {
          x: input(x),
          scale: input(scale),
          offset: input(offset),
          y: output(x.length),
          mean: output(channels),
          variance: output(channels),
          work: scratch(kernels.batchNormScratch(channels)),
        },
        ({ x, scale, offset, y, mean, variance, work }) =>
          kernels.batchNorm(x, scale, offset, y, mean, variance, rows, channels, epsilon, work),
        seed,
      );
      const { mean, variance } = statistics(x, channels);
      expectWithin(results.mean, mean, (c) => 2 ** -23 * Math.abs(mean[c]!));
      expectWithin(results.variance, variance, (c) => 2 ** -23 * variance[c]!);
      const factor = variance.map((value, c) => scale[c]! / Math.sqrt(value + epsilon));
      const y = Array.from(x, (value, i) => {
        const c = i % channels;
        return (value - mean[c]!) * factor[c]! + offset[c]!;
      });
      // y = factor x + shift, each rounded to float32.
      const size = (i: number) => {
        const c = i % channels;
        const shift = Math.abs(mean[c]! * factor[c]!) + Math.abs(offset[c]!);
        return Math.abs(x[i]! * factor[c]!) + shift;
      };
      expectWithin(results.y, y, (i) => 2 ** -21 * size(i));
    }));

  test('batchNormGradient gives the gradients by x, scale and offset', () =>
    check(examples, 200, ({ rows, channels, epsilon, seed }) => {
      const x = reals(rows * channels, seed);
      const dy = reals(x.length, seed + 1);
      const scale = reals(channels, seed + 2);
      const mean = Float32Array.from(statistics(x, channels).mean);
      const variance = Float32Array.from(statistics(x, channels).variance);
      if (seed % 2) withNaN(dy, seed);
      const results = run(
        {
          dy: input(dy),
          x: input(x),
          mean: input(mean),
          variance: input(variance),
          scale: input(scale),
          dx: output(x.length),
          dScale: output(channels),
          dOffset: output(channels),
          work: scratch(kernels.batchNormScratch(channels)),
        },
        (at) => {
          const outputs = [at.dx, at.dScale, at.dOffset, rows, channels, epsilon, at.work] as const;
          kernels.batchNormGradient(at.dy, at.x, at.mean, at.variance, at.scale, ...outputs);
        },
        seed,
      );
      const root = Array.from(variance, (value) => 1 / Math.sqrt(value + epsilon));
      const centred = (i: number) => x[i]! - mean[i % channels]!;
      const s = columnSums(x.length, channels, (i) => dy[i]!);
      const p = columnSums(x.length, channels, (i) => dy[i]! * centred(i) * root[i % channels]!);
      const dx = Array.from(dy, (value, i) => {
        const c = i % channels;
        const rest = s[c]! / rows + (centred(i) * root[c]! * p[c]!) / rows;
        return scale[c]! * root[c]! * (value - rest);
      });
      const near = (i: number) => 1e-6 * (1 + root[i % channels]!) * rows;
      expectWithin(results.dOffset, s, near);
      expectWithin(results.dScale, p, near);
      expectWithin(results.dx, dx, (i) => 2e-6 * root[i % channels]! * (1 + root[i % channels]!));
    }));
});
