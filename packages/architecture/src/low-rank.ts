// Layers with weights of low rank.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { checkInteger, OptionError } from '@thimble/base';
import { type ApplyPart, CompositeLayer } from '@thimble/core';
import {
  biasArgs,
  type Conv2dArgs,
  channelsOf,
  kernelArgs,
  pair,
  requireChannelsLast,
} from './block.ts';
import { type ConvRank, type ConvScheme, checkRank, convChain, SCHEMES } from './chains.ts';

/** Arguments of {@link lowRankDense}: those of `tf.layers.dense`, and the rank. */
export type LowRankDenseArgs = Parameters<typeof tfl.layers.dense>[0] & {
  /** Of the product of the two kernels, from 1 to the smaller of inputs and units. */
  rank: number;
};

/** Arguments of {@link lowRankConv2d}: those of `tf.layers.conv2d`, the rank and how it is factored. */
export type LowRankConv2dArgs = Conv2dArgs & {
  /** A number; for 'tucker2' also a pair: what comes in, what goes out. See {@link lowRankConv2d} for limits. */
  rank: ConvRank;
  /** Default 'spatial'. */
  scheme?: ConvScheme;
};

/**
 * A dense layer whose kernel is a product: `y = activation(x U V + b)` with U [in, rank] and V [rank, units].
 * It takes `rank (in + units)` multiply-accumulates instead of `in units`: fewer where
 * `rank < in units / (in + units)`. `finalize` puts two plain dense layers in its place;
 * `parametrize(layer, { kernel })` reaches both kernels.
 *
 * Paper: Denton et al., "Exploiting Linear Structure Within Convolutional Networks for Efficient Evaluation", 2014.
 *
 * @throws {OptionError} for a rank that is no whole number above 0, and, once the input is known, one above
 *   `min(in, units)`.
 * @example
 * const model = tfl.sequential({ layers: [lowRankDense({ units: 300, rank: 20, inputShape: [784] })] });
 */
export function lowRankDense(args: LowRankDenseArgs): tfl.layers.Layer {
  return new ThimbleLowRankDense(args);
}

/**
 * A 2D convolution whose kernel [kh, kw, in, out] is of low rank r, as a chain of smaller convolutions; bias
 * and activation come last.
 *
 * | scheme    | chain                                                        | MACs per position                 | rank at most        |
 * | --------- | ------------------------------------------------------------ | --------------------------------- | ------------------- |
 * | 'spatial' | kh x 1 to r, 1 x kw to out                                    | `r (kh in + kw out)`              | min(kh in, kw out)  |
 * | 'channel' | kh x kw to r, 1 x 1 to out                                    | `r (kh kw in + out)`              | min(kh kw in, out)  |
 * | 'tucker2' | 1 x 1 to r1, kh x kw to r2, 1 x 1 to out                      | `in r1 + kh kw r1 r2 + r2 out`    | in, out             |
 * | 'cp'      | 1 x 1 to r, kh x 1 and 1 x kw on each channel, 1 x 1 to out   | `r (in + kh + kw + out)`          | kh kw min(in, out)  |
 *
 * Where a step changes height or width, the steps before it work at the larger size. `finalize` puts the plain
 * convolutions in its place.
 *
 * Papers: Denton et al., 2014; Jaderberg, Vedaldi, Zisserman, "Speeding up Convolutional Neural Networks with Low
 * Rank Expansions", 2014; Kim et al., "Compression of Deep Convolutional Neural Networks for Fast and Low Power
 * Mobile Applications", 2016 (Tucker-2); Lebedev et al., "Speeding-up Convolutional Neural Networks Using
 * Fine-tuned CP-Decomposition", 2015.
 *
 * @throws {OptionError} for an unknown scheme or a rank out of range; {UnsupportedError} for channels first.
 * @example
 * const layer = lowRankConv2d({ filters: 50, kernelSize: 5, rank: [8, 16], scheme: 'tucker2', activation: 'relu' });
 */
export function lowRankConv2d(args: LowRankConv2dArgs): tfl.layers.Layer {
  return new ThimbleLowRankConv2D(args);
}

class ThimbleLowRankDense extends CompositeLayer {
  static className = 'ThimbleLowRankDense';
  readonly #limits: { units: number; rank: number };

  constructor(args: LowRankDenseArgs) {
    const { units, rank, useBias = true, activation = 'linear' } = args;
    checkInteger('lowRankDense', 'units', units, 1);
    checkInteger('lowRankDense', 'rank', rank, 1);
    super(args, { units, rank, useBias, activation });
    this.#limits = { units, rank };
    const kernel = kernelArgs(args);
    this.addPart('first', (name) =>
      tfl.layers.dense({ name, units: rank, useBias: false, ...kernel }),
    );
    this.addPart('last', (name) =>
      tfl.layers.dense({
        name,
        units,
        useBias,
        activation,
        ...kernel,
        ...biasArgs(args),
      }),
    );
  }

  protected override prepare(inputShape: tfl.Shape): void {
    const { units, rank } = this.#limits;
    const most = Math.min(channelsOf(inputShape), units);
    checkInteger(`lowRankDense "${this.name}"`, 'rank', rank, 1, most);
  }

  override connect<T>(input: T, apply: ApplyPart<T>): T {
    return apply(this.part('last'), apply(this.part('first'), input));
  }
}

class ThimbleLowRankConv2D extends CompositeLayer {
  static className = 'ThimbleLowRankConv2D';
  readonly #args: LowRankConv2dArgs;

  constructor(args: LowRankConv2dArgs) {
    const { filters, kernelSize, rank, scheme = 'spatial', strides = 1, padding = 'valid' } = args;
    const { dilationRate = 1, useBias = true, activation = 'linear' } = args;
    requireChannelsLast('lowRankConv2d', args);
    if (!SCHEMES.includes(scheme)) {
      throw new OptionError(
        `lowRankConv2d: scheme must be one of ${SCHEMES.join(', ')}, not "${scheme}".`,
      );
    }
    checkInteger('lowRankConv2d', 'filters', filters, 1);
    for (const each of [rank].flat()) checkInteger('lowRankConv2d', 'rank', each, 1);
    super(args, {
      filters,
      kernelSize,
      rank,
      scheme,
      strides,
      padding,
      dilationRate: dilationRate as number,
      useBias,
      activation,
    });
    this.#args = args;
    const chain = convChain(
      {
        filters,
        kernelSize: pair('lowRankConv2d', 'kernelSize', kernelSize),
        strides: pair('lowRankConv2d', 'strides', strides),
        dilationRate: pair('lowRankConv2d', 'dilationRate', dilationRate as number),
        padding,
      },
      scheme,
      rank,
    );
    for (const [i, make] of chain.entries()) {
      const last = i === chain.length - 1;
      const more = last ? { useBias, activation, ...biasArgs(args) } : { useBias: false };
      this.addPart(`step${i + 1}`, (name) => make({ name, ...kernelArgs(args), ...more }));
    }
  }

  protected override prepare(inputShape: tfl.Shape): void {
    const { filters, kernelSize, rank, scheme = 'spatial' } = this.#args;
    const [height, width] = pair('lowRankConv2d', 'kernelSize', kernelSize);
    const shape = [height, width, channelsOf(inputShape), filters];
    checkRank(`lowRankConv2d "${this.name}"`, scheme, rank, shape);
  }

  override connect<T>(input: T, apply: ApplyPart<T>): T {
    return this.parts.reduce((value, part) => apply(part, value), input);
  }
}

tf.serialization.registerClass(ThimbleLowRankDense as never);
tf.serialization.registerClass(ThimbleLowRankConv2D as never);
