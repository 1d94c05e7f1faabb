// The depthwise-separable network with batch normalisation on which quantisation is hard.
import * as tfl from '@tensorflow/tfjs-layers';
import { withSeed } from 'thimble';

/**
 * A small MobileNet for images of 28 x 28: a convolution with 16 filters, separable ones with 32, 64 and 64;
 * `decay` of the squares of all kernels but the depthwise ones.
 */
export function separableNetwork(seed: number, decay: number): tfl.Sequential {
  const { batchNormalization, conv2d, dense, depthwiseConv2d, globalAveragePooling2d, reLU } =
    tfl.layers;
  const regularizer = () => tfl.regularizers.l2({ l2: decay });
  // A short memory and a small epsilon, as other frameworks have them.
  const norm = (name: string) => [
    batchNormalization({ name: `${name}-norm`, momentum: 0.9, epsilon: 1e-5 }),
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
