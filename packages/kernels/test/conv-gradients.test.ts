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
  sparse,
} from './convolutions.ts';
import {
  BUILDS,
  check,
  expectExact,
  input,
  integers,
  output,
  run,
  scratch,
  withNaN,
} from './helpers.ts';

type Zeros = [first: number, others: number];
interface Example {
  convolution: Convolution;
  /** The share of zeros in dy, in the first image and in the others. */
  zeros: Zeros;
}

/** Both gradients. Zeros in dy may be skipped, so a NaN in x is only put where dy has none. */
function gradients(kernels: Kernels, { convolution, zeros }: Example): void {
  const { seed, batch } = convolution;
  const lengths = lengthsOf(convolution);
  const x = integers(lengths.x, seed);
  const w = integers(lengths.w, seed + 1);
  const dy = sparse(lengths.y, batch, zeros, seed + 2);
  if (seed % 3 === 0) withNaN(seed % 2 && zeros[0] + zeros[1] === 0 ? x : dy, seed);
  const work = () => scratch(scratchOf(kernels, convolution));
  const sizes = sizesOf(convolution);
  const single = convolution.depthwise;

  const { dw } = run(
    { x: input(x), dy: input(dy), dw: output(lengths.w), work: work() },
    ({ x, dy, dw, work }) => {
      const kernel = single ? kernels.depthwiseFilterGradient : kernels.convFilterGradient;
      kernel(x, dy, dw, ...sizes, work);
    },
    seed,
  );
  const { dx } = run(
    { dy: input(dy), w: input(w), dx: output(lengths.x), work: work() },
    ({ dy, w, dx, work }) => {
      const kernel = single ? kernels.depthwiseInputGradient : kernels.convInputGradient;
      kernel(dy, w, dx, ...sizes, work);
    },
    seed,
  );

  const expectedW = new Float64Array(lengths.w);
  const expectedX = new Float64Array(lengths.x);
  forProducts(convolution, (from, weight, to) => {
    expectedW[weight]! += (from < 0 ? 0 : x[from]!) * dy[to]!;
    if (from >= 0) expectedX[from]! += dy[to]! * w[weight]!;
  });
  expectExact(dw, expectedW);
  expectExact(dx, expectedX);
}

const examples = (
  convolution: fc.Arbitrary<Convolution>,
  zeros: fc.Arbitrary<Zeros> = fc.constant([0, 0]),
) => fc.record({ convolution, zeros });
const one = fc.constant<[number, number]>([1, 1]);
const none = fc.constant<[number, number, number, number]>([0, 0, 0, 0]);
const share = fc.integer({ min: 60, max: 95 }).map((percent) => percent / 100);

describe.each(BUILDS)('gradients of conv, $build', ({ kernels }) => {
  const property = (example: Example) => gradients(kernels, example);

  test('equal the sums of products', () => check(examples(convolutions()), 400, property));

  test('equal them without padding, where images are read in place', () =>
    check(examples(convolutions({ padding: none, dilation: one })), 200, property));

  test('equal them with row steps of dy that are a power of two', () => {
    const length = fc.integer({ min: 2, max: 5 });
    const outChannels = fc.constantFrom(128, 256);
    const kernel = fc.constantFrom<[number, number]>([1, 1], [2, 3]);
    check(
      examples(convolutions({ outChannels, kernel, height: length, width: length })),
      40,
      property,
    );
  });

  test('equal them over several batches of images', () => {
    const length = fc.constantFrom(10, 11, 12);
    const batch = fc.constantFrom(5, 7);
    const small = { inChannels: fc.constantFrom(1, 3), outChannels: fc.constantFrom(2, 5, 8) };
    check(examples(convolutions({ ...small, batch, height: length, width: length })), 60, property);
  });

  // Runs of 16 values and more, of which 32 are taken at once.
  const wide = convolutions({
    inChannels: fc.constantFrom(5, 8, 16, 17, 19, 20, 32, 33, 40),
    kernel: fc.tuple(fc.constantFrom(1, 2, 3), fc.constantFrom(2, 3, 4, 5)),
  });
  test('equal them where most of dy is zero', () =>
    check(
      examples(
        wide,
        share.map((zeros): Zeros => [zeros, zeros]),
      ),
      300,
      property,
    ));

  test('equal them where dy is zero in whole images only, or nowhere', () =>
    check(
      examples(wide, fc.constantFrom<Zeros>([1, 1], [1, 0], [0, 1], [0.8, 0], [0, 0.8], [0, 0])),
      200,
      property,
    ));
});

// So large that the fixed parts of the scratch are small beside what depends on the sizes.
describe.each(BUILDS)('gradients of large images, $build', ({ kernels }) => {
  const length = fc.integer({ min: 25, max: 30 });
  const large = convolutions(
    {
      batch: fc.constantFrom(1, 2),
      height: length,
      width: length,
      inChannels: fc.constantFrom(8, 9),
      outChannels: fc.constantFrom(57, 64),
      kernel: fc.constantFrom<[number, number]>([1, 2], [2, 2]),
      stride: one,
      dilation: one,
    },
    6_000_000,
  );
  test('equal the sums of products', () =>
    check(examples(large, fc.constantFrom<Zeros>([0, 0], [0.6, 0], [0.6, 0])), 6, (example) =>
      gradients(kernels, example),
    ));
});

describe.each(BUILDS)('gradients of depthwise, $build', ({ kernels }) => {
  const property = (example: Example) => gradients(kernels, example);
  const channels = fc.constantFrom(1, 2, 3, 4, 5, 7, 8, 13);
  const multipliers = fc.constantFrom(1, 1, 2, 3);

  test('equal the sums of products', () =>
    check(examples(depthwise(channels, multipliers)), 400, property));

  test('equal them at stride 1, where the filter is turned', () =>
    check(examples(depthwise(channels, multipliers, { stride: one })), 200, property));

  test('equal them without padding, where images are read in place', () =>
    check(examples(depthwise(channels, fc.constant(1), { padding: none })), 200, property));
});
