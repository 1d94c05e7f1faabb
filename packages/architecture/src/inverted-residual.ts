// The building block of MobileNet v2.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { checkInteger, checkRange } from '@thimble/base';
import type { ApplyPart } from '@thimble/core';
import {
  type ActivationName,
  Block,
  biasArgs,
  type Conv2dArgs,
  channelsOf,
  depthwiseArgs,
  kernelArgs,
  pair,
  requireChannelsLast,
  scaledFilters,
} from './block.ts';

/** Arguments of {@link invertedResidual}: those of `tf.layers.conv2d` that apply, and its own. */
export interface InvertedResidualArgs extends Omit<Conv2dArgs, 'kernelSize' | 'padding'> {
  /** Of the depthwise convolution. Default 3. */
  kernelSize?: number | [number, number];
  /** How many times wider it is inside; 1 for no expansion. Default 6. */
  expansion?: number;
  /** A batch normalization after each convolution, which then have no bias. Default true. */
  batchNormalization?: boolean;
  /** Of the moving averages of batch normalization. Default 0.99. */
  momentum?: number;
  /** After the first two convolutions; the last one is linear. Default 'relu6'. */
  activation?: ActivationName;
  /** `filters` times this, rounded, is what the layer has. Default 1. */
  widthMultiplier?: number;
}

/**
 * A residual block that is wide inside and narrow outside: pointwise expansion to `t` times the channels,
 * depthwise k x k, linear pointwise projection; the input is added where the stride is 1 and the number of
 * channels stays. Padding is 'same'.
 *
 * - `h = f(norm(expand(x)))`, `g = f(norm(depthwise(h)))`, `y = norm(project(g)) [+ x]`
 * - multiply-accumulates at stride 1: `H W C t (C + k^2 + N)`
 *
 * Paper: Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, table 1.
 *
 * @throws {OptionError} for sizes out of range; {UnsupportedError} for channels first.
 * @example
 * const block = invertedResidual({ filters: 16, expansion: 4, strides: 2 });
 */
export function invertedResidual(args: InvertedResidualArgs): tfl.layers.Layer {
  return new ThimbleInvertedResidual(args);
}

const OWNER = 'invertedResidual';

class ThimbleInvertedResidual extends Block {
  static className = 'ThimbleInvertedResidual';
  readonly #expansion: number;
  readonly #filters: number;
  readonly #strides: [number, number];
  #residual = false;

  constructor(args: InvertedResidualArgs) {
    const { filters, kernelSize = 3, strides = 1, expansion = 6, widthMultiplier = 1 } = args;
    const { batchNormalization = true, momentum = 0.99, activation = 'relu6' } = args;
    requireChannelsLast(OWNER, args);
    checkRange(OWNER, 'expansion', expansion, 1);
    super(args, {
      filters,
      kernelSize,
      strides,
      expansion,
      widthMultiplier,
      batchNormalization,
      momentum,
      activation,
    });
    this.#expansion = expansion;
    this.#filters = scaledFilters(OWNER, filters, widthMultiplier);
    this.#strides = pair(OWNER, 'strides', strides);
    const unit = { batchNormalization, momentum, activation };
    const pointwise = { kernelSize: 1, ...kernelArgs(args), ...biasArgs(args) };
    // How many filters the expansion has is known once the input is.
    if (expansion > 1) {
      this.addUnit('expand', unit, (own) =>
        tfl.layers.conv2d({ ...pointwise, filters: 1, ...own }),
      );
    }
    this.addUnit('depthwise', unit, (own) =>
      tfl.layers.depthwiseConv2d({
        kernelSize: pair(OWNER, 'kernelSize', kernelSize),
        strides: this.#strides,
        padding: 'same',
        ...biasArgs(args),
        ...depthwiseArgs(args),
        ...own,
      }),
    );
    this.addUnit('project', { ...unit, activation: 'linear' }, (own) =>
      tfl.layers.conv2d({ ...pointwise, filters: this.#filters, ...own }),
    );
    this.addPart('add', (name) => tfl.layers.add({ name }));
  }

  protected override prepare(inputShape: tfl.Shape): void {
    const channels = channelsOf(inputShape);
    checkInteger(OWNER, 'channels of the input', channels, 1);
    this.#residual = channels === this.#filters && this.#strides.every((stride) => stride === 1);
    if (!this.hasPart('expand')) return;
    const expand = this.part('expand') as tfl.layers.Layer & { filters: number };
    expand.filters = Math.round(channels * this.#expansion);
  }

  override connect<T>(input: T, apply: ApplyPart<T>): T {
    const wide = this.hasPart('expand') ? this.through('expand', input, apply) : input;
    const narrow = this.through('project', this.through('depthwise', wide, apply), apply);
    return this.#residual ? apply(this.part('add'), [input, narrow]) : narrow;
  }
}

tf.serialization.registerClass(ThimbleInvertedResidual as never);
