// Chains of small convolutions that stand for one large one: their layers, their limits, their costs.
import * as tfl from '@tensorflow/tfjs-layers';
import { checkInteger, OptionError, UnsupportedError } from '@thimble/base';
import { type Conv2dArgs, depthwiseArgs } from './block.ts';

/** How the kernel of a convolution is factored. */
export type ConvScheme = 'spatial' | 'channel' | 'tucker2' | 'cp';

/** One rank, or the two of Tucker-2: of the input channels, of the output channels. */
export type ConvRank = number | [number, number];

export const SCHEMES: readonly ConvScheme[] = ['spatial', 'channel', 'tucker2', 'cp'];

/** The convolution that a chain stands for. */
export interface ConvGeometry {
  filters: number;
  kernelSize: [number, number];
  strides: [number, number];
  dilationRate: [number, number];
  padding: NonNullable<Conv2dArgs['padding']>;
}

/** Makes a layer of a chain; the arguments are its name, bias, activation and initializers. */
type MakeStep = (args: Partial<Conv2dArgs>) => tfl.layers.Layer;

/** The ranks as a pair. */
export function rankPair(rank: ConvRank): [number, number] {
  return Array.isArray(rank) ? rank : [rank, rank];
}

/** The layers of a chain, first to last. */
export function convChain(geometry: ConvGeometry, scheme: ConvScheme, rank: ConvRank): MakeStep[] {
  const { filters, kernelSize, strides, dilationRate, padding } = geometry;
  const [first, second] = rankPair(rank);
  const [kh, kw] = kernelSize;
  const pointwise =
    (filters: number): MakeStep =>
    (args) =>
      tfl.layers.conv2d({ filters, kernelSize: 1, ...args });
  const full = (filters: number): MakeStep => conv({ ...geometry, filters });
  const vertical = {
    kernelSize: [kh, 1] as [number, number],
    strides: [strides[0], 1] as [number, number],
    dilationRate: [dilationRate[0], 1] as [number, number],
    padding,
  };
  const horizontal = {
    kernelSize: [1, kw] as [number, number],
    strides: [1, strides[1]] as [number, number],
    dilationRate: [1, dilationRate[1]] as [number, number],
    padding,
  };
  if (scheme === 'cp' && dilationRate.some((rate) => rate > 1)) {
    throw new UnsupportedError(
      "CP needs depthwise convolutions, and tfjs's have no dilation: take another scheme.",
    );
  }
  switch (scheme) {
    case 'spatial':
      return [conv({ ...vertical, filters: first }), conv({ ...horizontal, filters })];
    case 'channel':
      return [full(first), pointwise(filters)];
    case 'tucker2':
      return [pointwise(first), full(second), pointwise(filters)];
    case 'cp':
      return [pointwise(first), depthwise(vertical), depthwise(horizontal), pointwise(filters)];
  }

  function conv(own: ConvGeometry): MakeStep {
    return (args) => tfl.layers.conv2d({ ...own, ...args } as Conv2dArgs);
  }
}

function depthwise(own: Omit<ConvGeometry, 'filters'>): MakeStep {
  return (args) =>
    tfl.layers.depthwiseConv2d({ ...own, ...args, ...depthwiseArgs(args) } as Parameters<
      typeof tfl.layers.depthwiseConv2d
    >[0]);
}

/** The largest ranks of a kernel [kh, kw, in, out]; for all but Tucker-2 both are the same. */
export function largestRank(scheme: ConvScheme, shape: readonly number[]): [number, number] {
  const [kh, kw, inputs, outputs] = shape as [number, number, number, number];
  switch (scheme) {
    case 'spatial':
      return rankPair(Math.min(kh * inputs, kw * outputs));
    case 'channel':
      return rankPair(Math.min(kh * kw * inputs, outputs));
    case 'tucker2':
      return [Math.min(inputs, kh * kw * outputs), Math.min(outputs, kh * kw * inputs)];
    case 'cp':
      return rankPair(kh * kw * Math.min(inputs, outputs));
  }
}

/** @throws {OptionError} for ranks outside the limits of the scheme. */
export function checkRank(
  owner: string,
  scheme: ConvScheme,
  rank: ConvRank,
  shape: readonly number[],
): void {
  if (Array.isArray(rank) && (scheme !== 'tucker2' || rank.length !== 2)) {
    throw new OptionError(`${owner}: a pair of ranks is for Tucker-2; ${scheme} has one rank.`);
  }
  const most = largestRank(scheme, shape);
  const [first, second] = rankPair(rank);
  checkInteger(owner, Array.isArray(rank) ? 'rank[0]' : 'rank', first, 1, most[0]);
  checkInteger(owner, Array.isArray(rank) ? 'rank[1]' : 'rank', second, 1, most[1]);
}

/** Height times width at the places that matter for costs. */
export interface Positions {
  /** Of the input. */
  input: number;
  /** Of the output rows and the input columns: between the two steps of a separated kernel. */
  between: number;
  output: number;
}

/** The parameters of a chain, bias apart, and its multiply-accumulates. */
export function chainCost(
  scheme: ConvScheme,
  shape: readonly number[],
  rank: ConvRank,
  { input, between, output }: Positions,
): { params: number; macs: number } {
  const [kh, kw, inputs, outputs] = shape as [number, number, number, number];
  const [first, second] = rankPair(rank);
  const steps: Record<ConvScheme, [positions: number, params: number][]> = {
    spatial: [
      [between, kh * inputs * first],
      [output, kw * first * outputs],
    ],
    channel: [
      [output, kh * kw * inputs * first],
      [output, first * outputs],
    ],
    tucker2: [
      [input, inputs * first],
      [output, kh * kw * first * second],
      [output, second * outputs],
    ],
    cp: [
      [input, inputs * first],
      [between, kh * first],
      [output, kw * first],
      [output, first * outputs],
    ],
  };
  return steps[scheme].reduce(
    (sum, [positions, params]) => ({
      params: sum.params + params,
      macs: sum.macs + positions * params,
    }),
    { params: 0, macs: 0 },
  );
}
