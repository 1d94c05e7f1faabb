// Generated convolutions and their plain reference.
import fc from 'fast-check';
import type { ConvSizes, Kernels } from '../src/index.ts';
import { integers, random, seeds } from './helpers.ts';

/** A convolution; with `depthwise` every input channel has `outChannels / inChannels` outputs. */
export interface Convolution {
  depthwise: boolean;
  batch: number;
  height: number;
  width: number;
  inChannels: number;
  outChannels: number;
  kernel: [number, number];
  stride: [number, number];
  dilation: [number, number];
  /** Rows before and after, columns before and after; below 0 the image is cut. */
  padding: [number, number, number, number];
  seed: number;
}

const upTo = (max: number) => fc.integer({ min: 1, max });
const two = (one: fc.Arbitrary<number>) => fc.tuple(one, one);
const side = fc.oneof(fc.constant(0), fc.integer({ min: -2, max: 4 }));
/** Products that the reference adds up at most. */
const WORK = 250_000;

/** Convolutions in which some choices are fixed. */
export function convolutions(
  fixed: { [Key in keyof Convolution]?: fc.Arbitrary<Convolution[Key]> } = {},
  most = WORK,
): fc.Arbitrary<Convolution> {
  const choices: { [Key in keyof Convolution]: fc.Arbitrary<Convolution[Key]> } = {
    depthwise: fc.constant(false),
    batch: fc.constantFrom(1, 1, 2, 3, 5),
    height: upTo(9),
    width: upTo(9),
    inChannels: fc.constantFrom(1, 1, 2, 3, 4, 5, 8, 17),
    outChannels: fc.constantFrom(1, 2, 3, 4, 5, 8, 9, 12, 20),
    kernel: two(upTo(5)),
    stride: two(fc.constantFrom(1, 1, 1, 2, 3)),
    dilation: two(fc.constantFrom(1, 1, 1, 2, 3)),
    padding: fc.tuple(side, side, side, side),
    seed: seeds,
    ...fixed,
  };
  return fc.record(choices).filter((convolution) => {
    const [, , , , outHeight, outWidth] = sizesOf(convolution);
    return outHeight > 0 && outWidth > 0 && countOf(convolution) <= most;
  });
}

/** Depthwise convolutions. */
export function depthwise(
  channels: fc.Arbitrary<number>,
  multipliers: fc.Arbitrary<number>,
  fixed: Parameters<typeof convolutions>[0] = {},
): fc.Arbitrary<Convolution> {
  return fc
    .tuple(convolutions(fixed), channels, multipliers)
    .map(([convolution, inChannels, multiplier]) => ({
      ...convolution,
      depthwise: true,
      inChannels,
      outChannels: inChannels * multiplier,
    }))
    .filter((convolution) => countOf(convolution) <= WORK);
}

/** The sizes as the kernels take them. */
export function sizesOf(convolution: Convolution): ConvSizes {
  const { batch, height, width, inChannels, outChannels, kernel, stride, dilation } = convolution;
  const [top, bottom, left, right] = convolution.padding;
  const out = (size: number, axis: 0 | 1) =>
    Math.floor((size - (kernel[axis] - 1) * dilation[axis] - 1) / stride[axis]) + 1;
  const output = [out(height + top + bottom, 0), out(width + left + right, 1)] as const;
  return [
    ...([batch, height, width, inChannels, ...output, outChannels] as const),
    ...kernel,
    ...stride,
    ...dilation,
    top,
    left,
  ];
}

/** How many values x, w and y have. */
export function lengthsOf(convolution: Convolution): { x: number; w: number; y: number } {
  const { depthwise, batch, height, width, inChannels, outChannels, kernel } = convolution;
  const [, , , , outHeight, outWidth] = sizesOf(convolution);
  return {
    x: batch * height * width * inChannels,
    w: kernel[0] * kernel[1] * outChannels * (depthwise ? 1 : inChannels),
    y: batch * outHeight * outWidth * outChannels,
  };
}

function countOf(convolution: Convolution): number {
  const { x: _, ...count } = lengthsOf(convolution);
  return (count.y * count.w) / convolution.outChannels;
}

/** Bytes of scratch, as the kernels say. */
export function scratchOf(kernels: Kernels, convolution: Convolution): number {
  const [, inHeight, inWidth, inChannels, outHeight, outWidth, outChannels, ...rest] =
    sizesOf(convolution);
  const [kernelHeight, kernelWidth, strideHeight, strideWidth, down, right] = rest;
  const windows = [kernelHeight, kernelWidth, strideHeight, strideWidth, down, right] as const;
  const output = [outHeight, outWidth, outChannels] as const;
  return convolution.depthwise
    ? kernels.depthwiseScratch(inHeight, inWidth, ...output, ...windows)
    : kernels.convScratch(inChannels, ...output, ...windows);
}

/**
 * Visits every product of a convolution: the place in x, or -1 in the padding, the place in w and the
 * place in y. The forward pass and both gradients are sums over these.
 */
export function forProducts(
  convolution: Convolution,
  visit: (x: number, w: number, y: number) => void,
): void {
  const [batch, inHeight, inWidth, inChannels, outHeight, outWidth, outChannels, ...rest] =
    sizesOf(convolution);
  const [kernelHeight, kernelWidth, strideHeight, strideWidth, down, right, top, left] = rest;
  const multiplier = outChannels / inChannels;
  let y = 0;
  for (let n = 0; n < batch; n++)
    for (let i = 0; i < outHeight; i++)
      for (let j = 0; j < outWidth; j++)
        for (let o = 0; o < outChannels; o++, y++)
          for (let a = 0; a < kernelHeight; a++)
            for (let b = 0; b < kernelWidth; b++) {
              const h = i * strideHeight + a * down - top;
              const v = j * strideWidth + b * right - left;
              const inside = h >= 0 && h < inHeight && v >= 0 && v < inWidth;
              const pixel = inside ? ((n * inHeight + h) * inWidth + v) * inChannels : -1;
              const tap = a * kernelWidth + b;
              if (convolution.depthwise) {
                const c = Math.floor(o / multiplier);
                visit(inside ? pixel + c : -1, tap * outChannels + o, y);
              } else {
                for (let c = 0; c < inChannels; c++) {
                  const w = (tap * inChannels + c) * outChannels + o;
                  visit(inside ? pixel + c : -1, w, y);
                }
              }
            }
}

/** Whole numbers of which a share is 0, in the first image and in the others. */
export function sparse(
  length: number,
  batch: number,
  zeros: readonly [first: number, others: number],
  seed: number,
): Float32Array {
  const next = random(seed + 13);
  const values = integers(length, seed);
  return values.map((value, i) => {
    const share = zeros[i * batch < length ? 0 : 1];
    return next() < share ? 0 : value || 1;
  });
}
