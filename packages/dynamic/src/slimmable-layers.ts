// Dense and convolutional layers that can be narrowed.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { UnsupportedError } from '@thimble/base';
import { type Active, type Cuts, head, type Inside, only, Slim, withoutSlim } from './slimmable.ts';
import type { Widths } from './slimmable-widths.ts';

/** What slimmable layers take beside the arguments of plain ones. */
export interface SlimmableOptions {
  /** A list with 1 as the largest, or a range `{ min: 0.25 }`. */
  widths: Widths;
}

/** Arguments of {@link slimmableDense}: those of `tf.layers.dense`, and `widths`. */
export type SlimmableDenseArgs = Parameters<typeof tfl.layers.dense>[0] & SlimmableOptions;

/** Arguments of {@link slimmableConv2d}: those of `tf.layers.conv2d`, and `widths`. */
export type SlimmableConv2dArgs = Parameters<typeof tfl.layers.conv2d>[0] & SlimmableOptions;

/** Arguments of {@link slimmableDepthwiseConv2d}: those of `tf.layers.depthwiseConv2d`, and `widths`. */
export type SlimmableDepthwiseConv2dArgs = Parameters<typeof tfl.layers.depthwiseConv2d>[0] &
  SlimmableOptions;

/**
 * A dense layer of which a part can be at work. At width w it has `max(1, round(w units))` units:
 *
 * - `y = activation(x W[:i, :o] + b[:o])`, with i the width of its input; the gradient of the rest is 0
 * - after a flattened map of features, whose channels are interleaved, the rows of the first channels of
 *   every position
 *
 * `setWidth` sets the width of a whole model. The last slimmable layer before an output keeps all its units.
 * In between stand layers that take any number of channels: activations, pooling, flatten, dropout, sums, and
 * `slimmableBatchNormalization`. Transforms of the kernel come first, then the part is taken. `finalize` makes
 * a plain dense layer of the present width.
 *
 * Paper: Yu, Yang, Xu, Yang, Huang, "Slimmable Neural Networks", 2018.
 *
 * @throws {OptionError} for widths outside (0, 1], or without 1.
 * @example
 * const widths = [0.25, 0.5, 0.75, 1];
 * const model = tfl.sequential({ layers: [
 *   slimmableDense({ units: 64, widths, activation: 'relu', inputShape: [20] }),
 *   slimmableDense({ units: 10, widths, activation: 'softmax' }),
 * ] });
 * setWidth(model, 0.5); // 32 hidden units
 */
export function slimmableDense(args: SlimmableDenseArgs): tfl.layers.Layer {
  return new ThimbleSlimmableDense(args);
}

/**
 * A 2D convolution of which a part can be at work: the first `max(1, round(w filters))` filters, over the
 * channels that its input has. As {@link slimmableDense}; the kernel is [height, width, in, out].
 *
 * @throws {OptionError} for widths outside (0, 1], or without 1; {UnsupportedError} for channelsFirst.
 * @example
 * const layer = slimmableConv2d({ filters: 20, kernelSize: 5, widths: [0.25, 0.5, 1] });
 */
export function slimmableConv2d(args: SlimmableConv2dArgs): tfl.layers.Layer {
  return new ThimbleSlimmableConv2D(args);
}

/**
 * A depthwise 2D convolution over the channels that its input has. As {@link slimmableDense}; the kernel is
 * [height, width, channels, multiplier].
 *
 * @throws {OptionError} for widths outside (0, 1], or without 1; {UnsupportedError} for channelsFirst.
 * @example
 * const layer = slimmableDepthwiseConv2d({ kernelSize: 3, padding: 'same', widths: { min: 0.25 } });
 */
export function slimmableDepthwiseConv2d(args: SlimmableDepthwiseConv2dArgs): tfl.layers.Layer {
  return new ThimbleSlimmableDepthwiseConv2D(args);
}

interface Weighted extends Inside {
  kernel: tfl.LayerVariable;
  bias: tfl.LayerVariable | null;
  depthwiseKernel: tfl.LayerVariable;
  dataFormat: string;
}
type LayerClass = new (args: object) => Weighted;
type Kwargs = { [key: string]: unknown };
type Config = tf.serialization.ConfigDict;

const sample = { name: 'sample' };
const Dense = tfl.layers.dense({ ...sample, units: 1 }).constructor as LayerClass;
const Conv2D = tfl.layers.conv2d({ ...sample, filters: 1, kernelSize: 1 })
  .constructor as LayerClass;
const DepthwiseConv2D = tfl.layers.depthwiseConv2d({ ...sample, kernelSize: 1 })
  .constructor as LayerClass;

class ThimbleSlimmableDense extends Dense {
  static className = 'ThimbleSlimmableDense';
  readonly slim: Slim;

  constructor(args: SlimmableDenseArgs) {
    super(args);
    this.slim = new Slim(this, args);
  }

  static plainForm(config: Config): { className: string; config: Config } {
    const { units } = config as { units: number };
    return {
      className: 'Dense',
      config: { ...withoutSlim(config), units: activeOf(config)?.outputs ?? units },
    };
  }

  override build(inputShape: tfl.Shape): void {
    super.build(inputShape);
    this.inputSpec = [{ minNDim: 2 }];
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Kwargs): tf.Tensor | tf.Tensor[] {
    const { slim } = this;
    slim.check(only(inputs), this.kernel.shape[0]!);
    return slim.narrowed(this.cuts, kwargs.training === true, () => super.call(inputs, kwargs));
  }

  get cuts(): Cuts {
    const { active } = this.slim;
    return active
      ? { kernel: (kernel) => denseKernel(kernel, active), bias: head(active.outputs) }
      : {};
  }

  plainWeights(): Record<string, tf.Tensor> {
    return activeWeights(this, this.cuts);
  }

  countMacs(output: tfl.Shape): number {
    const { active } = this.slim;
    const used = active && [active.inputs * active.positions, active.outputs];
    return macsOf(output, used ?? this.kernel.shape);
  }

  override getConfig(): Config {
    return { ...super.getConfig(), ...this.slim.config };
  }

  override dispose(): ReturnType<tfl.layers.Layer['dispose']> {
    this.slim.forget();
    return super.dispose();
  }
}

class ThimbleSlimmableConv2D extends Conv2D {
  static className = 'ThimbleSlimmableConv2D';
  readonly slim: Slim;

  constructor(args: SlimmableConv2dArgs) {
    super(args);
    requireChannelsLast(this);
    this.slim = new Slim(this, args);
  }

  static plainForm(config: Config): { className: string; config: Config } {
    const { filters } = config as { filters: number };
    return {
      className: 'Conv2D',
      config: { ...withoutSlim(config), filters: activeOf(config)?.outputs ?? filters },
    };
  }

  override build(inputShape: tfl.Shape): void {
    super.build(inputShape);
    this.inputSpec = [{ ndim: 4 }];
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Kwargs): tf.Tensor | tf.Tensor[] {
    const { slim } = this;
    slim.check(only(inputs), this.kernel.shape[2]!);
    return slim.narrowed(this.cuts, kwargs.training === true, () => super.call(inputs, kwargs));
  }

  get cuts(): Cuts {
    const { active } = this.slim;
    if (!active) return {};
    const { inputs, outputs } = active;
    return {
      kernel: (kernel) => front(kernel, [...kernel.shape.slice(0, 2), inputs, outputs]),
      bias: head(outputs),
    };
  }

  plainWeights(): Record<string, tf.Tensor> {
    return activeWeights(this, this.cuts);
  }

  countMacs(output: tfl.Shape): number {
    const { active } = this.slim;
    const { shape } = this.kernel;
    const used = active && [...shape.slice(0, 2), active.inputs, active.outputs];
    return macsOf(output, used ?? shape);
  }

  override getConfig(): Config {
    return { ...super.getConfig(), ...this.slim.config };
  }

  override dispose(): ReturnType<tfl.layers.Layer['dispose']> {
    this.slim.forget();
    return super.dispose();
  }
}

class ThimbleSlimmableDepthwiseConv2D extends DepthwiseConv2D {
  static className = 'ThimbleSlimmableDepthwiseConv2D';
  readonly slim: Slim;

  constructor(args: SlimmableDepthwiseConv2dArgs) {
    super(args);
    requireChannelsLast(this);
    this.slim = new Slim(this, args);
  }

  static plainForm(config: Config): { className: string; config: Config } {
    return { className: 'DepthwiseConv2D', config: withoutSlim(config) };
  }

  override call(inputs: tf.Tensor | tf.Tensor[], kwargs: Kwargs): tf.Tensor | tf.Tensor[] {
    const { slim } = this;
    slim.check(only(inputs), this.depthwiseKernel.shape[2]!);
    return slim.narrowed(this.cuts, kwargs.training === true, () => super.call(inputs, kwargs));
  }

  get cuts(): Cuts {
    const { active } = this.slim;
    if (!active) return {};
    return {
      depthwiseKernel: (kernel) => {
        const [height, width, , multiplier] = kernel.shape as [number, number, number, number];
        return front(kernel, [height, width, active.inputs, multiplier]);
      },
      bias: head(active.outputs),
    };
  }

  plainWeights(): Record<string, tf.Tensor> {
    return activeWeights(this, this.cuts);
  }

  countMacs(output: tfl.Shape): number {
    const { active } = this.slim;
    const { shape } = this.depthwiseKernel;
    const used = active && [...shape.slice(0, 2), active.inputs, ...shape.slice(3)];
    return macsOf(output, used ?? shape);
  }

  override getConfig(): Config {
    return { ...super.getConfig(), ...this.slim.config };
  }

  override dispose(): ReturnType<tfl.layers.Layer['dispose']> {
    this.slim.forget();
    return super.dispose();
  }
}

tf.serialization.registerClass(ThimbleSlimmableDense as never);
tf.serialization.registerClass(ThimbleSlimmableConv2D as never);
tf.serialization.registerClass(ThimbleSlimmableDepthwiseConv2D as never);

function activeOf(config: Config): Active | null | undefined {
  return config.active as unknown as Active | null | undefined;
}

function requireChannelsLast({ name, dataFormat }: Weighted): void {
  if (dataFormat !== 'channelsFirst') return;
  throw new UnsupportedError(
    `Layer "${name}": slimmable layers take channelsLast data only, not channelsFirst.`,
  );
}

/** Multiply-accumulates of a kernel of that shape at every position of an output; NaN where a size is open. */
function macsOf(output: tfl.Shape, kernel: tfl.Shape): number {
  return [...output.slice(0, -1), ...kernel].reduce<number>(
    (n, size) => n * (size ?? Number.NaN),
    1,
  );
}

/** The part of a tensor from its beginning, of a shape. */
function front(tensor: tf.Tensor, shape: number[]): tf.Tensor {
  const whole = shape.every((size, axis) => size === tensor.shape[axis]);
  const begin = shape.map(() => 0);
  return whole ? tensor : tf.slice(tensor, begin, shape);
}

/** The rows of the first channels of every position, and the first columns. */
function denseKernel(kernel: tf.Tensor, { inputs, outputs, positions }: Active): tf.Tensor {
  const [rows, units] = kernel.shape as [number, number];
  const channels = rows / positions;
  if (positions === 1 || channels === inputs) return front(kernel, [inputs * positions, outputs]);
  const byPosition = tf.reshape(kernel, [positions, channels, units]);
  return tf.reshape(front(byPosition, [positions, inputs, outputs]), [-1, outputs]);
}

const LOCAL_NAMES: Record<string, string> = { depthwiseKernel: 'depthwise_kernel' };

/** The active parts of a layer's kernel and bias at test time, by the names of the weights. */
function activeWeights(layer: Weighted, cuts: Cuts): Record<string, tf.Tensor> {
  const parts: Record<string, tf.Tensor> = {};
  for (const role of ['kernel', 'depthwiseKernel', 'bias'] as const) {
    const weight = layer[role] as tfl.LayerVariable | null | undefined;
    if (!weight) continue;
    const value = weight.read();
    parts[LOCAL_NAMES[role] ?? role] = cuts[role]?.(value) ?? value;
  }
  return parts;
}
