import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Kernels, PoolSizes } from '../src/index.ts';
import {
  BUILDS,
  check,
  expectExact,
  expectWithin,
  input,
  integers,
  output,
  reals,
  run,
  seeds,
  withNaN,
} from './helpers.ts';

type Three = [number, number, number];
/** Pooling of volumes; an image has depth 1. Windows may end beyond the volume. */
interface Pooling {
  batch: number;
  size: Three;
  channels: number;
  out: Three;
  kernel: Three;
  stride: Three;
  pad: Three;
  seed: number;
}

/** One axis: windows that start inside of it, or in less padding than the kernel has. */
const axis = fc
  .record({
    size: fc.integer({ min: 1, max: 9 }),
    kernel: fc.integer({ min: 1, max: 4 }),
    stride: fc.integer({ min: 1, max: 4 }),
    pad: fc.constantFrom(0, 0, 0, 1, 2, 3),
    share: fc.constantFrom(0.5, 0.9, 1, 1),
  })
  .map(({ size, kernel, stride, pad, share }) => {
    const before = Math.min(pad, kernel - 1);
    const most = Math.ceil((size + before) / stride);
    return { size, kernel, stride, pad: before, out: Math.max(1, Math.round(share * most)) };
  });
/** Windows side by side, as most networks have; the last value may be left over, or the last window cut. */
const tiled = fc
  .tuple(
    fc.integer({ min: 1, max: 3 }),
    fc.integer({ min: 1, max: 4 }),
    fc.constantFrom(0, 0, 1, -1),
  )
  .map(([kernel, out, rest]) => {
    const size = kernel * out + Math.max(rest, 1 - kernel);
    return { size, kernel, stride: kernel, pad: 0, out };
  });
const flat = fc.constant({ size: 1, kernel: 1, stride: 1, pad: 0, out: 1 });
const poolings = (depth: typeof axis, side: typeof axis): fc.Arbitrary<Pooling> =>
  fc
    .record({
      batch: fc.constantFrom(1, 2, 3),
      axes: fc.tuple(depth, side, side),
      channels: fc.constantFrom(1, 2, 3, 4, 5, 7, 8, 11, 16, 21, 33),
      seed: seeds,
    })
    .map(({ axes, ...rest }) => {
      const all = (key: keyof (typeof axes)[0]) => axes.map((one) => one[key]) as Three;
      const [size, out, kernel] = [all('size'), all('out'), all('kernel')];
      return { ...rest, size, out, kernel, stride: all('stride'), pad: all('pad') };
    });
const images = fc.oneof(poolings(flat, axis), poolings(flat, tiled));
const volumes = fc.oneof(poolings(axis, axis), images);

/** The places of every window, in row-major order. */
function windows(pooling: Pooling): number[][] {
  const { batch, size, channels, out, kernel, stride, pad } = pooling;
  const inside = (axis: number, index: number) => {
    const from = index * stride[axis]! - pad[axis]!;
    return Array.from({ length: kernel[axis]! }, (_, i) => from + i).filter(
      (i) => i >= 0 && i < size[axis]!,
    );
  };
  const all: number[][] = [];
  for (let n = 0; n < batch; n++)
    for (let o = 0; o < out[0]; o++)
      for (let i = 0; i < out[1]; i++)
        for (let j = 0; j < out[2]; j++)
          for (let c = 0; c < channels; c++) {
            const window: number[] = [];
            for (const d of inside(0, o))
              for (const h of inside(1, i))
                for (const w of inside(2, j))
                  window.push((((n * size[0] + d) * size[1] + h) * size[2] + w) * channels + c);
            all.push(window);
          }
  return all;
}

const countX = ({ batch, size, channels }: Pooling) =>
  batch * size[0] * size[1] * size[2] * channels;
const maximum = (x: Float32Array, window: number[]) => Math.max(...window.map((i) => x[i]!));

function pooled(name: 'maxPool' | 'avgPool', kernels: Kernels, x: Float32Array, p: Pooling) {
  const length = p.batch * p.out[0] * p.out[1] * p.out[2] * p.channels;
  const sizes = [p.batch, ...p.size, p.channels, ...p.out, ...p.kernel, ...p.stride] as const;
  const call = ({ x, y }: { x: number; y: number }) => kernels[name](x, y, ...sizes, ...p.pad);
  return run({ x: input(x), y: output(length) }, call, p.seed).y;
}

function imageSizes({ batch, size, channels, out, kernel, stride, pad }: Pooling): PoolSizes {
  const rest = [out[1], out[2], kernel[1], kernel[2], stride[1], stride[2]] as const;
  return [batch, size[1], size[2], channels, ...rest, pad[1], pad[2]];
}

/** dx of max pooling where dy is 1, 2, 3 ... */
function maxGradient({ maxPoolGradient }: Kernels, x: Float32Array, pooling: Pooling) {
  const dy = Float32Array.from(windows(pooling), (_, i) => (i % 50) + 1);
  const operands = { x: input(x), dy: input(dy), dx: output(x.length) };
  const sizes = imageSizes(pooling);
  const { dx } = run(
    operands,
    ({ x, dy, dx }) => maxPoolGradient(x, dy, dx, ...sizes),
    pooling.seed,
  );
  return { dx, dy };
}

describe.each(BUILDS)('pooling, $build', ({ kernels }) => {
  test('maxPool gives the maximum of every window, or NaN', () =>
    check(volumes, 200, (pooling) => {
      const x = reals(countX(pooling), pooling.seed).map((value) => value - 0.9);
      if (pooling.seed % 2) withNaN(x, pooling.seed);
      const expected = windows(pooling).map((window) => maximum(x, window));
      expectExact(pooled('maxPool', kernels, x, pooling), expected);
    }));

  test('avgPool gives the mean of what a window holds', () =>
    check(volumes, 200, (pooling) => {
      const x = integers(countX(pooling), pooling.seed);
      if (pooling.seed % 2) withNaN(x, pooling.seed);
      const expected = windows(pooling).map(
        (window) => window.reduce((sum, i) => sum + x[i]!, 0) / window.length,
      );
      const near = (i: number) => 2 ** -22 * Math.abs(expected[i]!);
      expectWithin(pooled('avgPool', kernels, x, pooling), expected, near);
    }));

  test('maxPoolGradient goes to the first maximum of every window', () =>
    check(images, 300, (pooling) => {
      // Few different values, so most windows have several maxima.
      const x = integers(countX(pooling), pooling.seed).map((value) => Math.trunc(value / 3));
      const { dx, dy } = maxGradient(kernels, x, pooling);
      const expected = new Float64Array(x.length);
      windows(pooling).forEach((window, i) => {
        const best = maximum(x, window);
        expected[window.find((place) => x[place] === best)!]! += dy[i]!;
      });
      expectExact(dx, expected);
    }));

  test('maxPoolGradient takes -Infinity for a maximum, and a NaN where it comes first', () => {
    const shape = { batch: 1, size: [1, 2, 2], out: [1, 1, 1], kernel: [1, 2, 2], pad: [0, 0, 0] };
    for (const channels of [1, 4, 5]) {
      for (const stride of [1, 2]) {
        const pooling = { ...shape, channels, stride: [1, stride, stride], seed: 0 } as Pooling;
        const first = new Float32Array(4 * channels).fill(0, 0, channels).fill(1, 0, channels);
        const lowest = first.map(() => Number.NEGATIVE_INFINITY);
        const missing = Float32Array.from(first, (value) => (value ? Number.NaN : 3));
        for (const x of [lowest, missing]) {
          const { dx, dy } = maxGradient(kernels, x, pooling);
          const expected = [...dy, ...new Array(3 * channels).fill(0)];
          expect([...dx], `${channels} channels, stride ${stride}, ${x}`).toEqual(expected);
        }
      }
    }
  });

  test('a NaN keeps the gradients of other images as they are', () =>
    check(images, 100, (pooling) => {
      const x = reals(countX(pooling), pooling.seed);
      const size = x.length / pooling.batch;
      const clean = maxGradient(kernels, x, pooling).dx;
      const broken = x.slice();
      withNaN(broken.subarray(0, size), pooling.seed);
      const { dx } = maxGradient(kernels, broken, pooling);
      expectExact(dx.subarray(size), clean.subarray(size));
    }));

  test('avgPoolGradient spreads dy evenly over every window', () =>
    check(images, 250, (pooling) => {
      const all = windows(pooling);
      const dy = integers(all.length, pooling.seed);
      if (pooling.seed % 2) withNaN(dy, pooling.seed);
      const count = countX(pooling);
      const { dx } = run(
        { dy: input(dy), dx: output(count) },
        (at) => kernels.avgPoolGradient(at.dy, at.dx, ...imageSizes(pooling)),
        pooling.seed,
      );
      const expected = new Float64Array(count);
      all.forEach((window, i) => {
        for (const place of window) expected[place]! += dy[i]! / window.length;
      });
      expectWithin(dx, expected, () => 1e-5);
    }));
});
