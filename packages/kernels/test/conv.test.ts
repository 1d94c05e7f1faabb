import fc from 'fast-check';
import { describe, test } from 'vitest';
import type { Kernels } from '../src/index.ts';
import {
  type Convolution,
  convolutions,
  depthwise,
  forProducts,
  lengthsOf,
  scratchOf,
  sizesOf,
} from './convolutions.ts';
import {
  BUILDS,
  check,
  expectExact,
  input,
  integers,
  output,
  random,
  run,
  scratch,
  withNaN,
} from './helpers.ts';

function forward(kernels: Kernels, convolution: Convolution): void {
  const { seed, outChannels } = convolution;
  const lengths = lengthsOf(convolution);
  const x = integers(lengths.x, seed);
  if (seed % 3 === 0) withNaN(x, seed);
  const w = integers(lengths.w, seed + 1);
  const bias = integers(outChannels, seed + 2);
  const next = random(seed);
  const [biased, activation] = [next() < 0.5, Math.floor(next() * 3)];

  const { y } = run(
    {
      x: input(x),
      w: input(w),
      bias: input(bias),
      y: output(lengths.y),
      work: scratch(scratchOf(kernels, convolution)),
    },
    ({ x, w, bias, y, work }) => {
      const kernel = convolution.depthwise ? kernels.depthwise : kernels.conv;
      kernel(x, w, biased ? bias : 0, activation, y, ...sizesOf(convolution), work);
    },
    seed,
  );

  const sums = new Float64Array(lengths.y);
  forProducts(convolution, (from, weight, to) => {
    sums[to]! += (from < 0 ? 0 : x[from]!) * w[weight]!;
  });
  const expected = sums.map((sum, i) => {
    const value = sum + (biased ? bias[i % outChannels]! : 0);
    if (activation === 0) return value;
    return activation === 1 ? Math.max(0, value) : Math.min(6, Math.max(0, value));
  });
  expectExact(y, expected);
}

const one = fc.constant<[number, number]>([1, 1]);
const none = fc.constant<[number, number, number, number]>([0, 0, 0, 0]);

describe.each(BUILDS)('conv, $build', ({ kernels }) => {
  test('equals the sums of products', () =>
    check(convolutions(), 500, (example) => forward(kernels, example)));

  test('equals them without padding, where images are read in place', () =>
    check(convolutions({ padding: none, dilation: one }), 200, (example) =>
      forward(kernels, example),
    ));

  test('equals them with more than 256 values in a window', () => {
    const inChannels = fc.constantFrom(29, 32, 60, 64);
    const sizes = fc.integer({ min: 5, max: 12 });
    const kernel = fc.constantFrom<[number, number]>([3, 3], [3, 5], [5, 5]);
    const outChannels = fc.constantFrom(1, 3, 4, 5);
    const wide = { inChannels, outChannels, kernel, height: sizes, width: sizes };
    check(convolutions({ ...wide, batch: fc.constantFrom(1, 2) }), 60, (example) =>
      forward(kernels, example),
    );
  });

  test('equals them where the kernel is larger than the image', () => {
    const length = fc.integer({ min: 1, max: 3 });
    const kernel = fc.constantFrom<[number, number]>([4, 4], [5, 3], [7, 7]);
    const padding = fc.constant<[number, number, number, number]>([3, 3, 3, 3]);
    check(convolutions({ height: length, width: length, kernel, padding }), 100, (example) =>
      forward(kernels, example),
    );
  });
});

describe.each(BUILDS)('depthwise, $build', ({ kernels }) => {
  const channels = fc.constantFrom(1, 2, 3, 4, 5, 7, 8, 13);

  test('equals the sums of products', () =>
    check(depthwise(channels, fc.constantFrom(1, 1, 2, 3)), 500, (example) =>
      forward(kernels, example),
    ));

  test('equals them without padding, where images are read in place', () =>
    check(depthwise(channels, fc.constant(1), { padding: none }), 200, (example) =>
      forward(kernels, example),
    ));
});
