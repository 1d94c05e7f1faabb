// The depthwise-separable network with batch normalisation on which quantisation is hard.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { type data, fit, schedules, withSeed } from 'thimble';

/** How it is trained: SGD with momentum, a rate that falls as a cosine does, decay of all weights. */
export const SEPARABLE = { images: 10_000, epochs: 12, batchSize: 64, rate: 0.2, decay: 1e-3 };

/**
 * A small MobileNet for images of 28 x 28: a convolution with 16 filters, separable ones with 32, 64, 64 and 64.
 * Weight decay of everything, depthwise kernels and scales too, leaves channels of very different sizes.
 */
function network(seed: number): tfl.Sequential {
  const { batchNormalization, conv2d, dense, depthwiseConv2d, globalAveragePooling2d, reLU } =
    tfl.layers;
  const regularizer = () => tfl.regularizers.l2({ l2: SEPARABLE.decay });
  // A short memory and a small epsilon, as other frameworks have them.
  const norm = (name: string) => [
    batchNormalization({
      name: `${name}-norm`,
      momentum: 0.9,
      epsilon: 1e-5,
      gammaRegularizer: regularizer(),
    }),
    reLU({ name: `${name}-relu` }),
  ];
  const same = { padding: 'same', useBias: false } as const;
  const separable = (i: number, filters: number, strides: number) => [
    depthwiseConv2d({
      ...same,
      name: `depthwise${i}`,
      kernelSize: 3,
      strides,
      depthwiseInitializer: 'heNormal',
      depthwiseRegularizer: regularizer(),
    }),
    ...norm(`depthwise${i}`),
    conv2d({
      ...same,
      name: `pointwise${i}`,
      filters,
      kernelSize: 1,
      kernelInitializer: 'heNormal',
      kernelRegularizer: regularizer(),
    }),
    ...norm(`pointwise${i}`),
  ];
  return withSeed(seed, () =>
    tfl.sequential({
      layers: [
        conv2d({
          ...same,
          name: 'first',
          filters: 16,
          kernelSize: 3,
          strides: 2,
          kernelInitializer: 'heNormal',
          kernelRegularizer: regularizer(),
          inputShape: [28, 28, 1],
        }),
        ...norm('first'),
        ...separable(1, 32, 1),
        ...separable(2, 64, 2),
        ...separable(3, 64, 1),
        ...separable(4, 64, 1),
        globalAveragePooling2d({ name: 'pool' }),
        dense({
          name: 'output',
          units: 10,
          activation: 'softmax',
          kernelRegularizer: regularizer(),
        }),
      ],
    }),
  );
}

/** The network of a seed, trained on the first images; once, and read from its checkpoint afterwards. */
export async function separableNetwork(
  train: data.ImageDataset,
  output: string,
  seed: number,
): Promise<tfl.LayersModel> {
  const { images, epochs, batchSize, rate } = SEPARABLE;
  const model = network(seed);
  await fit(model, train.take(images), {
    epochs,
    batchSize,
    optimizer: tf.train.momentum(rate, 0.9),
    learningRate: schedules.cosine(rate),
    loss: 'categoricalCrossentropy',
    seed,
    progress: false,
    checkpoint: `${output}/float-${seed}.checkpoint`,
  });
  return model;
}
