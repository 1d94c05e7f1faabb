// XNOR-Net: layers that multiply signs with signs.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { checkRange, type Encoding, OptionError } from '@thimble/base';
import { parametrize, type WeightTransform } from '@thimble/core';
import { binarised } from './binary-activation.ts';
import { binaryConnect } from './binary-connect.ts';
import { binaryConv, binaryMatMul } from './binary-product.ts';
import { binaryWeights } from './binary-weights.ts';
import { checkArguments } from './targets.ts';

/** What {@link xnorDense} and {@link xnorConv2d} take beside the arguments of dense and conv2d layers. */
export interface XnorOptions {
  /**
   * By what the product of signs is multiplied: 'weights' (default) by the scale of each filter,
   * 'weightsAndInputs' also by the mean magnitude of the inputs at each place, 'none' by nothing (BNN).
   */
  scaling?: 'weights' | 'weightsAndInputs' | 'none';
  /** Default true: stored weights are centred, see {@link binaryWeights}; not with `scaling: 'none'`. */
  centre?: boolean;
  /** Default true: the layer begins with a batch normalization of its own. */
  batchNormalization?: boolean;
  /** Of its moving averages, below 1; default 0.9 (epsilon is 1e-4), both as in the authors' code. */
  momentum?: number;
}

/** Arguments of {@link xnorDense}: those of `tf.layers.dense`, and its own. */
export type XnorDenseArgs = Parameters<typeof tfl.layers.dense>[0] & XnorOptions;

/** Arguments of {@link xnorConv2d}: those of `tf.layers.conv2d`, and its own. */
export type XnorConv2dArgs = Parameters<typeof tfl.layers.conv2d>[0] & XnorOptions;

/**
 * A dense layer on signs: batch normalization, sign, product with binary weights, scale.
 *
 * - `h = batchNorm(x)`, `s = sign(h)`, `y = activation(k (s W') + b)`
 * - weights: `W' = a sign(W)` with `a = mean |W|` of each unit, see {@link binaryWeights}, centred; with
 *   `scaling: 'none'`, `W' = sign(W)` by {@link binaryConnect}, as in a BNN
 * - k is 1, or with 'weightsAndInputs' the mean of |h| over the inputs, for each example
 * - backward: through the sign of h where `|h| <= 1`, else 0; through the weights by their transform
 *
 * The kernel is seen through a chain of transforms, as that of every layer: a mask can follow. Multiply-adds
 * are counted as those of a dense layer, weights with one bit each and 32 per scale. `finalize` writes W'
 * into the layer and keeps it, as there is no plain layer with binary inputs; whoever loads it needs this package.
 * The first and the last layer of a network are best left real.
 *
 * Papers: Rastegari, Ordonez, Redmon, Farhadi, "XNOR-Net", 2016, sections 3.2 and 3.3; Hubara et al.,
 * "Binarized Neural Networks", 2016.
 *
 * @throws {OptionError} for a scaling that is not known.
 * @example
 * const model = tfl.sequential({ layers: [
 *   tfl.layers.dense({ units: 64, activation: 'relu', inputShape: [784] }),
 *   xnorDense({ units: 64, activation: 'relu' }),
 *   tfl.layers.dense({ units: 10 }),
 * ] });
 */
export function xnorDense(args: XnorDenseArgs): tfl.layers.Layer {
  checkArguments('xnorDense', args);
  return parametrize(new ThimbleXnorDense(args), { kernel: [kernelTransform(args)] });
}

/**
 * A 2D convolution on signs: batch normalization, sign, convolution with binary weights, scale. As
 * {@link xnorDense}, with the kernel [height, width, in, out]. With 'weightsAndInputs' k is the mean over the
 * window of the mean of |h| over the channels, for each place of the output; the authors' code leaves it
 * out, and so does the default. Padding is with zeros, which are neither sign. Pooling belongs behind it.
 *
 * @throws {OptionError} for a scaling that is not known.
 * @example
 * const layer = xnorConv2d({ filters: 50, kernelSize: 5, scaling: 'weightsAndInputs', activation: 'relu' });
 */
export function xnorConv2d(args: XnorConv2dArgs): tfl.layers.Layer {
  checkArguments('xnorConv2d', args);
  return parametrize(new ThimbleXnorConv2D(args), { kernel: [kernelTransform(args)] });
}

const SCALINGS = ['weights', 'weightsAndInputs', 'none'];

function kernelTransform({ scaling, centre = true }: XnorOptions): WeightTransform {
  return (scaling === 'none' ? binaryConnect() : binaryWeights({ centre })) as WeightTransform;
}

/** What the types of tfjs-layers hide. */
interface Inside extends tfl.layers.Layer {
  kernel: tfl.LayerVariable;
  bias: tfl.LayerVariable | null;
  activation: { apply(x: tf.Tensor): tf.Tensor } | null;
  strides: [number, number];
  padding: string;
  dataFormat: string;
  dilationRate: number | [number, number];
  kernelSize: [number, number];
}
interface Weights {
  _trainableWeights: tfl.LayerVariable[];
  _nonTrainableWeights: tfl.LayerVariable[];
}
type Kwargs = { [key: string]: unknown };

const sample = { name: 'sample' };
const Dense = tfl.layers.dense({ ...sample, units: 1 }).constructor as new (args: object) => Inside;
const Conv2D = tfl.layers.conv2d({ ...sample, filters: 1, kernelSize: 1 }).constructor as new (
  args: object,
) => Inside;

/** What both layers have: batch normalization, the sign, and the end of the layer. */
class Xnor {
  readonly scaling: NonNullable<XnorOptions['scaling']>;
  readonly momentum: number;
  readonly norm: tfl.layers.Layer | undefined;
  readonly #layer: Inside;

  constructor(
    layer: Inside,
    { scaling = 'weights', batchNormalization = true, momentum = 0.9 }: XnorOptions,
  ) {
    if (!SCALINGS.includes(scaling)) {
      throw new OptionError(
        `xnor layer "${layer.name}": scaling must be one of ${SCALINGS.join(', ')}, not "${scaling}".`,
      );
    }
    checkRange(`xnor layer "${layer.name}"`, 'momentum', momentum, 0, 1);
    this.#layer = layer;
    this.scaling = scaling;
    this.momentum = momentum;
    const name = `${layer.name}_normalization`;
    if (batchNormalization)
      this.norm = tfl.layers.batchNormalization({ name, momentum, epsilon: 1e-4 });
  }

  /** Builds the normalization; its weights become weights of the layer. */
  build(inputShape: tfl.Shape): void {
    if (!this.norm) return;
    this.norm.build(inputShape);
    const { trainableWeights, nonTrainableWeights } = this.norm;
    const { _trainableWeights, _nonTrainableWeights } = this.#layer as unknown as Weights;
    _trainableWeights.push(...trainableWeights);
    _nonTrainableWeights.push(...nonTrainableWeights);
  }

  /**
   * The layer's answer to x, channels last. `whole` is the real layer, which in training does product, bias and
   * activation in one.
   */
  call(
    x: tf.Tensor,
    kwargs: Kwargs,
    product: (signs: tf.Tensor) => tf.Tensor,
    magnitude: (sizes: tf.Tensor) => tf.Tensor,
    whole?: (signs: tf.Tensor) => tf.Tensor,
  ): tf.Tensor {
    const h = (this.norm ? this.norm.call(x, kwargs) : x) as tf.Tensor;
    const signs = binarised(h);
    if (whole && kwargs.training && this.scaling !== 'weightsAndInputs') return whole(signs);
    let y = product(signs);
    if (this.scaling === 'weightsAndInputs') {
      y = tf.mul(y, magnitude(tf.mean(tf.abs(h), -1, true)));
    }
    const { bias, activation } = this.#layer;
    if (bias) y = tf.add(y, bias.read());
    return activation ? activation.apply(y) : y;
  }

  get config(): tf.serialization.ConfigDict {
    const { scaling, momentum, norm } = this;
    return { scaling, momentum, batchNormalization: norm !== undefined };
  }
}

function only(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
  return Array.isArray(inputs) ? inputs[0]! : inputs;
}

class ThimbleXnorDense extends Dense {
  static className = 'ThimbleXnorDense';
  readonly xnor: Xnor;

  constructor(args: XnorDenseArgs) {
    super(args);
    this.xnor = new Xnor(this, args);
  }

  override build(inputShape: tfl.Shape): void {
    super.build(inputShape);
    this.xnor.build(inputShape);
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Kwargs): tf.Tensor {
    return tf.tidy(() =>
      this.xnor.call(
        only(inputs),
        kwargs,
        (signs) => binaryMatMul(signs, this.kernel.read()),
        (sizes) => sizes,
        (signs) => super.call(signs, kwargs) as tf.Tensor,
      ),
    );
  }

  override getConfig(): tf.serialization.ConfigDict {
    return { ...super.getConfig(), ...this.xnor.config };
  }

  storedAs = storedAs;
}

class ThimbleXnorConv2D extends Conv2D {
  static className = 'ThimbleXnorConv2D';
  readonly xnor: Xnor;

  constructor(args: XnorConv2dArgs) {
    super(args);
    this.xnor = new Xnor(this, args);
  }

  override build(inputShape: tfl.Shape): void {
    super.build(inputShape);
    const [batch, ...image] = inputShape;
    const first = this.dataFormat === 'channelsFirst';
    this.xnor.build(first ? [batch!, ...image.slice(1), image[0]!] : inputShape);
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Kwargs): tf.Tensor {
    return tf.tidy(() => {
      const { strides, padding, dilationRate, kernelSize, dataFormat } = this;
      const dilations: [number, number] =
        typeof dilationRate === 'number' ? [dilationRate, dilationRate] : dilationRate;
      const pad = padding === 'same' ? 'same' : 'valid';
      const first = dataFormat === 'channelsFirst';
      const x = only(inputs);
      const y = this.xnor.call(
        first ? tf.transpose(x, [0, 2, 3, 1]) : x,
        kwargs,
        (signs) => binaryConv(signs, this.kernel.read(), { strides, pad, dilations }),
        (sizes) => {
          const box = tf.fill([...kernelSize, 1, 1], 1 / (kernelSize[0] * kernelSize[1]));
          return tf.conv2d(
            sizes as tf.Tensor4D,
            box as tf.Tensor4D,
            strides,
            pad,
            'NHWC',
            dilations,
          );
        },
        first ? undefined : (signs) => super.call(signs, kwargs) as tf.Tensor,
      );
      return first ? tf.transpose(y, [0, 3, 1, 2]) : y;
    });
  }

  override getConfig(): tf.serialization.ConfigDict {
    return { ...super.getConfig(), ...this.xnor.config };
  }

  storedAs = storedAs;
}

tf.serialization.registerClass(ThimbleXnorDense as never);
tf.serialization.registerClass(ThimbleXnorConv2D as never);

/** How the kernel of a finalized layer is stored: one magnitude per filter, last axis, and signs. */
function storedAs(
  weight: string,
  data: Float32Array,
  shape: readonly number[],
): Partial<Encoding> | undefined {
  if (weight !== 'kernel') return undefined;
  const filters = shape.at(-1)!;
  const scale = new Float32Array(filters);
  let zeros = false;
  for (const [i, value] of data.entries()) {
    const size = Math.abs(value);
    if (size === 0) zeros = true;
    else if (scale[i % filters] === 0) scale[i % filters] = size;
    else if (scale[i % filters] !== size) return undefined;
  }
  const ones = scale.every((size) => size === 1);
  const values: Encoding['values'] = {
    type: 'binary',
    bits: 1,
    scale: ones ? new Float32Array(0) : scale,
    axis: ones ? null : shape.length - 1,
  };
  return zeros ? { values, mask: Uint8Array.from(data, (v) => (v === 0 ? 0 : 1)) } : { values };
}
