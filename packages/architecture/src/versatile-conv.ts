// Convolutions whose filters are parts of a few primary ones.
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { checkInteger, ShapeError, UnsupportedError } from '@thimble/base';
import { type Conv2dArgs, channelsOf, requireChannelsLast } from './block.ts';
import { type AddWeight, Conv2D, geometryOf, onlyInput } from './conv-inside.ts';

/** Arguments of {@link versatileConv2d}: those of `tf.layers.conv2d`, and its own. */
export type VersatileConv2dArgs = Conv2dArgs & {
  /** Whether the smaller centre crops of a primary filter are filters too. Default true. */
  spatial?: boolean;
  /** Channels that a primary filter has fewer than the input. Default 0: it has them all. */
  channelDelta?: number;
  /** Channels from one window to the next. Default 1. */
  channelStride?: number;
};

/**
 * A 2D convolution whose filters share a few primary ones. Each primary filter serves several times:
 *
 * - spatial: with all of its k x k entries, with the k-2 x k-2 at its centre, and so on down to 1 or 2:
 *   `s = ceil(k / 2)` nested crops, all centred on the same place
 * - channels: with `channelDelta` d > 0 it has C - d channels and slides over the input channels by
 *   `channelStride` g: `t = ceil(d / g) + 1` windows, the last of which ends at the last channel
 *
 * `p = ceil(filters / (s t))` primary filters [k, k, C - d, p] give the `filters` outputs, crop by crop, largest
 * first, and within a crop window by window; what the last round has too many is not computed. Each output has
 * a bias of its own. The gradient of a primary filter is the sum over its uses. Multiply-accumulates: per
 * position `(k - 2j)^2 (C - d)` for an output of crop j.
 *
 * A plain layer cannot share so: `finalize` keeps the layer and reports it.
 *
 * Paper: Wang, Xu, Xu, Xu, Tao, "Learning Versatile Filters for Efficient Convolutional Neural Networks", 2018,
 * sections 3.1 and 3.2.
 *
 * @throws {OptionError} for counts out of range; {ShapeError} when `channelDelta` leaves no channel;
 *   {UnsupportedError} for channels first.
 * @example
 * const layer = versatileConv2d({ filters: 32, kernelSize: 5, padding: 'same', activation: 'relu' });
 */
export function versatileConv2d(args: VersatileConv2dArgs): tfl.layers.Layer {
  return new ThimbleVersatileConv2D(args);
}

const OWNER = 'versatileConv2d';

/** Outputs that come from one crop and one window. */
interface Use {
  /** Rows and columns that the crop leaves out on each side. */
  crop: number;
  firstChannel: number;
  filters: number;
}

class ThimbleVersatileConv2D extends Conv2D {
  static className = 'ThimbleVersatileConv2D';
  readonly spatial: boolean;
  readonly channelDelta: number;
  readonly channelStride: number;

  constructor(args: VersatileConv2dArgs) {
    super(args);
    const { spatial = true, channelDelta = 0, channelStride = 1 } = args;
    requireChannelsLast(OWNER, args);
    checkInteger(OWNER, 'channelDelta', channelDelta, 0);
    checkInteger(OWNER, 'channelStride', channelStride, 1);
    this.spatial = spatial;
    this.channelDelta = channelDelta;
    this.channelStride = channelStride;
  }

  /** How many primary filters there are. */
  get primaries(): number {
    return Math.ceil(this.filters / (this.#crops * this.#windows));
  }

  get #crops(): number {
    return this.spatial ? Math.ceil(Math.min(...this.kernelSize) / 2) : 1;
  }

  get #windows(): number {
    return Math.ceil(this.channelDelta / this.channelStride) + 1;
  }

  #uses(): Use[] {
    const { primaries, filters, channelDelta, channelStride } = this;
    return Array.from({ length: this.#crops * this.#windows }, (_, i) => ({
      crop: Math.floor(i / this.#windows),
      firstChannel: Math.min((i % this.#windows) * channelStride, channelDelta),
      filters: Math.min(primaries, filters - i * primaries),
    })).filter((use) => use.filters > 0);
  }

  override build(inputShape: tfl.Shape | tfl.Shape[]): void {
    const channels = channelsOf(
      (Array.isArray(inputShape[0]) ? inputShape[0] : inputShape) as tfl.Shape,
    );
    if (channels === null) {
      throw new UnsupportedError(
        `${OWNER} "${this.name}": the channels of the input are not known.`,
      );
    }
    const window = channels - this.channelDelta;
    if (window < 1) {
      throw new ShapeError(
        `${OWNER} "${this.name}": channelDelta ${this.channelDelta} leaves none of ${channels} channels.`,
      );
    }
    const addWeight = (this as unknown as { addWeight: AddWeight }).addWeight.bind(this);
    const { kernelInitializer, kernelRegularizer, kernelConstraint } = this;
    const shape = [...this.kernelSize, window, this.primaries];
    this.kernel = addWeight(
      'kernel',
      shape,
      undefined,
      kernelInitializer,
      kernelRegularizer,
      true,
      kernelConstraint,
    );
    if (this.useBias) {
      const { biasInitializer, biasRegularizer, biasConstraint } = this;
      this.bias = addWeight(
        'bias',
        [this.filters],
        undefined,
        biasInitializer,
        biasRegularizer,
        true,
        biasConstraint,
      );
    }
    this.inputSpec = [{ ndim: 4, axes: { 3: channels } }];
    this.built = true;
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.tidy(() => {
      const x = onlyInput(inputs);
      const [batch, height, width] = x.shape;
      const { pads, strides, dilations } = geometryOf(this, height, width);
      const padded = pads.flat().some((n) => n > 0) ? tf.pad(x, [[0, 0], ...pads, [0, 0]]) : x;
      const kernel = this.kernel.read() as tf.Tensor4D;
      const [kh, kw, window] = kernel.shape;
      const outputs = this.#uses().map(({ crop, firstChannel, filters }) => {
        const [down, right] = [crop * dilations[0], crop * dilations[1]];
        const seen = tf.slice(
          padded,
          [0, down, right, firstChannel],
          [batch, padded.shape[1] - 2 * down, padded.shape[2] - 2 * right, window],
        );
        const part = tf.slice(
          kernel,
          [crop, crop, 0, 0],
          [kh - 2 * crop, kw - 2 * crop, window, filters],
        );
        return tf.conv2d(seen, part, strides, 'valid', 'NHWC', dilations);
      });
      let y: tf.Tensor = outputs.length > 1 ? tf.concat(outputs, -1) : outputs[0]!;
      if (this.bias) y = tf.add(y, this.bias.read());
      return this.activation ? this.activation.apply(y) : y;
    });
  }

  countMacs([height, width]: (number | null)[]): number {
    const [kh, kw, window] = this.kernel.shape as number[];
    const positions = (height ?? Number.NaN) * (width ?? Number.NaN);
    return this.#uses().reduce(
      (sum, { crop, filters }) =>
        sum + positions * (kh! - 2 * crop) * (kw! - 2 * crop) * window! * filters,
      0,
    );
  }

  override getConfig(): tf.serialization.ConfigDict {
    const { spatial, channelDelta, channelStride } = this;
    return { ...super.getConfig(), spatial, channelDelta, channelStride };
  }
}

tf.serialization.registerClass(ThimbleVersatileConv2D as never);
