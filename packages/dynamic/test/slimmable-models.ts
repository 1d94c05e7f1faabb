// Small slimmable networks for tests.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { Random, withSeed } from '@thimble/base';
import {
  slimmableBatchNormalization,
  slimmableConv2d,
  slimmableDense,
  slimmableDepthwiseConv2d,
  type Widths,
} from '@thimble/dynamic';

export const WIDTHS: readonly number[] = [0.25, 0.5, 0.75, 1];

/** Convolutions, depthwise and plain, normalised, pooled, flattened, dropped and dense, in 8 x 8 images. */
export function convolutional(widths: Widths = WIDTHS, seed = 1): tfl.Sequential {
  const { averagePooling2d, dropout, flatten, maxPooling2d, reLU, zeroPadding2d } = tfl.layers;
  const random = { biasInitializer: 'randomNormal' } as const;
  return withSeed(seed, () =>
    tfl.sequential({
      layers: [
        slimmableConv2d({
          name: 'conv1',
          filters: 8,
          kernelSize: 3,
          padding: 'same',
          widths,
          inputShape: [8, 8, 2],
          ...random,
        }),
        slimmableBatchNormalization({ name: 'norm1', widths, momentum: 0.5 }),
        reLU(),
        maxPooling2d({ poolSize: 2 }),
        slimmableDepthwiseConv2d({
          name: 'depthwise',
          kernelSize: 2,
          depthMultiplier: 2,
          activation: 'relu',
          widths,
          ...random,
        }),
        slimmableConv2d({ name: 'conv2', filters: 12, kernelSize: 2, widths, ...random }),
        zeroPadding2d({ padding: 1 }),
        averagePooling2d({ poolSize: 2 }),
        flatten(),
        dropout({ rate: 0.5 }),
        slimmableDense({ name: 'fc', units: 16, activation: 'tanh', widths, ...random }),
        slimmableDense({ name: 'out', units: 3, activation: 'softmax', widths, ...random }),
      ],
    }),
  );
}

/** A residual network of one block with global pooling. */
export function residual(widths: Widths = WIDTHS): tfl.LayersModel {
  return withSeed(2, () => {
    const input = tfl.input({ shape: [6, 6, 1] });
    const conv = (name: string) =>
      slimmableConv2d({ name, filters: 8, kernelSize: 3, padding: 'same', widths });
    const first = conv('stem').apply(input) as tfl.SymbolicTensor;
    const branch = conv('branch').apply(
      tfl.layers.activation({ activation: 'relu' }).apply(first),
    ) as tfl.SymbolicTensor;
    const sum = tfl.layers.add().apply([first, branch]);
    const pooled = tfl.layers.globalAveragePooling2d({}).apply(sum);
    const output = slimmableDense({ name: 'out', units: 4, widths }).apply(
      pooled,
    ) as tfl.SymbolicTensor;
    return tfl.model({ inputs: input, outputs: output });
  });
}

/** Fixed random inputs for a model. */
export function inputs(model: tfl.LayersModel, batch = 5): tf.Tensor {
  const shape = [batch, ...(model.inputs[0]!.shape.slice(1) as number[])];
  return tf.randomNormal(shape, 0, 1, 'float32', 7);
}

/** Inputs and one-hot labels of 3 classes for {@link convolutional}; class c has mean c in the first channel. */
export function examples(count = 30): { xs: tf.Tensor; ys: tf.Tensor } {
  const random = new Random('slimmable examples');
  const values = Float32Array.from(
    { length: count * 128 },
    (_, i) => random.normal() + (i % 2 === 0 ? Math.floor(i / 128) % 3 : 0),
  );
  const labels = Int32Array.from({ length: count }, (_, i) => i % 3);
  return {
    xs: tf.tensor(values, [count, 8, 8, 2]),
    ys: tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d(labels, 'int32'), 3), 'float32')),
  };
}
