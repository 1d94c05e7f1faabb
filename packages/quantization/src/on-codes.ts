// Layers that compute with codes instead of the values that they stand for, as integers do it. All sums of
// products are then exact, in whatever order a backend adds them up.
import * as tf from '@tensorflow/tfjs-core';
import type { layers } from '@tensorflow/tfjs-layers';
import { type Coded, codedValues, codesOf } from './codes.ts';
import { straightThrough } from './straight-through.ts';

type Run = (inputs: tf.Tensor[]) => tf.Tensor | tf.Tensor[];

/** What a layer that multiplies with a kernel has. */
interface Multiplying {
  bias: { read(): tf.Tensor } | null;
  activation: { apply(x: tf.Tensor): tf.Tensor; getClassName(): string };
  dataFormat?: string;
  [kernel: string]: unknown;
}

const KERNEL_OF: Record<string, string> = {
  Dense: 'kernel',
  Conv1D: 'kernel',
  Conv2D: 'kernel',
  Conv2DTranspose: 'kernel',
  DepthwiseConv2D: 'depthwiseKernel',
};

/** Codes of biases lie in this, either side of 0. */
export const LARGEST_BIAS: number = 2 ** 30;

/**
 * The output of a layer from the codes of its inputs; undefined for layers that are not known to compute
 * with codes, and where weights or inputs have none.
 */
export function runOnCodes(
  layer: layers.Layer,
  run: Run,
  inputs: (Coded | undefined)[],
): tf.Tensor | undefined {
  const [input] = inputs;
  if (!input || inputs.length !== 1) return undefined;
  const { className } = layer.constructor as unknown as { className: string };
  if (className in AVERAGES) return averageOfCodes(layer, run, input, AVERAGES[className]!);
  const name = KERNEL_OF[className];
  const target = layer as unknown as Multiplying;
  const stored = name === undefined ? undefined : (target[name] as { read(): tf.Tensor });
  const kernel = stored && codedValues(stored.read());
  return kernel && multiplyCodes(target, name!, run, input, kernel);
}

function multiplyCodes(
  layer: Multiplying,
  name: string,
  run: Run,
  input: Coded,
  kernel: Coded,
): tf.Tensor {
  const scale = tf.mul(outputScale(name, kernel), input.scale);
  const { bias, activation } = layer;
  // These two commute with a positive scale, bit for bit, and backends fuse them with the product.
  const commutes = /^(linear|relu)$/.test(activation.getClassName());
  const channelsFirst = layer.dataFormat === 'channelsFirst' && scale.rank === 1;
  const perChannel = (y: tf.Tensor) =>
    channelsFirst ? tf.reshape(scale, [-1, ...y.shape.slice(2).map(() => 1)]) : scale;
  const rescale = (y: tf.Tensor) => tf.mul(y, perChannel(y));
  const before = layer[name];
  try {
    layer[name] = standIn(before as object, kernel.codes);
    if (bias) {
      const [low, high] = [-LARGEST_BIAS, LARGEST_BIAS];
      const learned = input.learned || kernel.learned;
      const codes = codesOf(bias.read(), { scale, low, high, learned });
      layer.bias = standIn(bias, codes);
    }
    if (!commutes) {
      layer.activation = {
        apply: (y) => activation.apply(rescale(y)),
        getClassName: () => 'ThimbleRescaled',
      };
    }
    const made = run([input.codes]) as tf.Tensor;
    return commutes ? rescale(made) : made;
  } finally {
    layer[name] = before;
    layer.bias = bias;
    layer.activation = activation;
  }
}

/** A weight in all but its value. */
function standIn<T extends object>(weight: T, value: tf.Tensor): T {
  return Object.create(weight, { read: { value: () => value } }) as T;
}

/** The steps of a kernel as one, or one per channel of the output. */
function outputScale(name: string, { codes, scale, axis }: Coded): tf.Tensor {
  if (axis === null) return tf.reshape(scale, []);
  if (name !== 'depthwiseKernel') return tf.reshape(scale, [-1]);
  // Every channel makes as many neighbours as the multiplier says.
  const multiplier = codes.shape[3]!;
  return tf.reshape(tf.mul(tf.reshape(scale, [-1, 1]), tf.ones([1, multiplier])), [-1]);
}

/** Sizes of the windows and of the steps between them; none where the window is the whole input. */
interface Pooling {
  poolSize?: number[];
  strides?: number[];
  padding?: string;
  dataFormat?: string;
}

/** The number of axes that are averaged over. */
const AVERAGES: Record<string, number> = {
  AveragePooling1D: 1,
  AveragePooling2D: 2,
  GlobalAveragePooling1D: 1,
  GlobalAveragePooling2D: 2,
};

/** `(s / n) sum of codes` over windows of n entries, padding left out. */
function averageOfCodes(
  layer: layers.Layer,
  run: Run,
  { codes, scale }: Coded,
  axes: number,
): tf.Tensor {
  const { poolSize, strides, padding, dataFormat } = layer as unknown as Pooling;
  const first = dataFormat === 'channelsFirst' ? 2 : 1;
  const sizes = codes.shape.slice(first, first + axes);
  const average = run([codes]) as tf.Tensor;
  let counts: tf.Tensor;
  if (!poolSize) counts = tf.scalar(sizes.reduce((n, size) => n * size, 1));
  else {
    const along = sizes.map((size, i) => windowCounts(size, poolSize[i]!, strides![i]!, padding!));
    const shape = average.shape.map(() => 1);
    counts = along.reduce<tf.Tensor>((product, counted, i) => {
      const own = shape.slice();
      own[first + i] = counted.length;
      return tf.mul(product, tf.tensor(counted, own));
    }, tf.scalar(1));
  }
  // The sum is a whole number; the backend's average is off by its rounding.
  const sums = straightThrough(tf.mul(average, counts), tf.round);
  return tf.mul(sums, tf.div(scale, counts));
}

/** How many entries each window along an axis has. */
function windowCounts(size: number, window: number, stride: number, padding: string): number[] {
  if (padding !== 'same') {
    return new Array(Math.floor((size - window) / stride) + 1).fill(window);
  }
  const count = Math.ceil(size / stride);
  const before = Math.floor(Math.max(0, (count - 1) * stride + window - size) / 2);
  return Array.from({ length: count }, (_, i) => {
    const start = i * stride - before;
    return Math.min(size, start + window) - Math.max(0, start);
  });
}
