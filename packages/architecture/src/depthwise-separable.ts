// MobileNet's building block.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { checkInteger } from '@thimble/base';
import type { ApplyPart } from '@thimble/core';
import {
  type ActivationName,
  Block,
  biasArgs,
  type Conv2dArgs,
  depthwiseArgs,
  kernelArgs,
  pair,
  requireChannelsLast,
  scaledFilters,
} from './block.ts';

/** Arguments of {@link depthwiseSeparableConv2d}: those of `tf.layers.conv2d`, and its own. */
export interface DepthwiseSeparableConv2dArgs
  extends Omit<Conv2dArgs, 'kernelSize' | 'dilationRate'> {
  /** Of the depthwise convolution. Default 3. */
  kernelSize?: number | [number, number];
  /** Filters of the depthwise convolution per input channel. Default 1. */
  depthMultiplier?: number;
  /** A batch normalization after each of the two convolutions, which then have no bias. Default true. */
  batchNormalization?: boolean;
  /** Of the moving averages of batch normalization. Default 0.99. */
  momentum?: number;
  /** After each of the two convolutions: 'relu' (default), 'relu6', 'linear' for none ... */
  activation?: ActivationName;
  /** `filters` times this, rounded, is what the layer has. Default 1. */
  widthMultiplier?: number;
}

/**
 * A convolution taken apart in space and channels, in the order of MobileNet: depthwise k x k, batch
 * normalization, activation, pointwise 1 x 1, batch normalization, activation.
 *
 * - `h = f(norm(depthwise(x)))`, `y = f(norm(pointwise(h)))`; strides and padding are those of the depthwise part
 * - multiply-accumulates: `H W C M (k^2 + N)` for C channels, multiplier M and N filters, against `H W C k^2 N`
 *   of the plain convolution: `1/N + 1/k^2` of them at M = 1
 *
 * `finalize` puts the plain layers in its place. `parametrize(layer, { depthwiseKernel, kernel })` reaches the
 * two kernels.
 *
 * Paper: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications",
 * 2017, section 3.1 and figure 3.
 *
 * @throws {OptionError} for sizes that are no whole numbers above 0; {UnsupportedError} for channels first.
 * @example
 * const block = depthwiseSeparableConv2d({ filters: 32, strides: 2, padding: 'same', activation: 'relu6' });
 */
export function depthwiseSeparableConv2d(args: DepthwiseSeparableConv2dArgs): tfl.layers.Layer {
  return new ThimbleDepthwiseSeparableConv2D(args);
}

const OWNER = 'depthwiseSeparableConv2d';

class ThimbleDepthwiseSeparableConv2D extends Block {
  static className = 'ThimbleDepthwiseSeparableConv2D';

  constructor(args: DepthwiseSeparableConv2dArgs) {
    const { filters, kernelSize = 3, strides = 1, padding = 'valid', depthMultiplier = 1 } = args;
    const { batchNormalization = true, momentum = 0.99, widthMultiplier = 1 } = args;
    const { activation = 'relu', useBias = true } = args;
    requireChannelsLast(OWNER, args);
    checkInteger(OWNER, 'depthMultiplier', depthMultiplier, 1);
    super(args, {
      filters,
      kernelSize,
      strides,
      padding,
      depthMultiplier,
      batchNormalization,
      momentum,
      activation,
      widthMultiplier,
      useBias,
    });
    const unit = { batchNormalization, momentum, activation };
    const depthwise = {
      kernelSize: pair(OWNER, 'kernelSize', kernelSize),
      strides: pair(OWNER, 'strides', strides),
      padding,
      depthMultiplier,
      ...biasArgs(args),
      ...depthwiseArgs(args),
    };
    this.addUnit('depthwise', unit, (own) =>
      tfl.layers.depthwiseConv2d({ ...depthwise, ...own, useBias: own.useBias && useBias }),
    );
    const scaled = scaledFilters(OWNER, filters, widthMultiplier);
    this.addUnit('pointwise', unit, (own) =>
      tfl.layers.conv2d({
        filters: scaled,
        kernelSize: 1,
        ...kernelArgs(args),
        ...biasArgs(args),
        ...own,
        useBias: own.useBias && useBias,
      }),
    );
  }

  override connect<T>(input: T, apply: ApplyPart<T>): T {
    return this.through('pointwise', this.through('depthwise', input, apply), apply);
  }
}

tf.serialization.registerClass(ThimbleDepthwiseSeparableConv2D as never);
