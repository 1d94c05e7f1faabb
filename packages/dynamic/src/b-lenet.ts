// BranchyNet's LeNet.
import * as tfl from '@tensorflow/tfjs-layers';
import { checkInteger, checkOptions, withSeed } from '@thimble/base';
import { earlyExits } from './early-exits.ts';

/** Options of {@link bLeNet}. */
export interface BLeNetOptions {
  /** Shape of an image; default [28, 28, 1]. */
  inputShape?: [number, number, number];
  /** Default 10. */
  classes?: number;
  /** Of the initial weights; default 0. */
  seed?: number | string;
}

/**
 * BranchyNet's LeNet for MNIST: the plain network, `trunk`, and the same with an early exit, `branchy`. Train the
 * trunk first, then both together: `branchy` has its layers.
 *
 * Trunk: three 5x5 convolutions of 5, 10 and 20 filters, padded by 3, each followed by max pooling and ReLU; then
 * 84 units without activation, and 10. Branch, after the first pooling: 3x3 convolution of 10 filters, max pooling,
 * ReLU, and 10. As in the authors' code, where the branch pools for itself what the trunk pools too: here once.
 *
 * Paper: Teerapittayanon, McDanel, Kung, "BranchyNet: Fast Inference via Early Exiting from Deep Neural
 * Networks", 2016, section IV.
 *
 * @throws OptionError for sizes that are not whole numbers above 0.
 * @example
 * const { trunk, branchy } = bLeNet({ seed: 1 });
 * await fit(trunk, train, { epochs: 1, loss: 'categoricalCrossentropy' });
 * await fitExits(branchy, train, { epochs: 1, lossWeights: [1, 0.3] });
 */
export function bLeNet(options: BLeNetOptions = {}): {
  trunk: tfl.LayersModel;
  branchy: tfl.LayersModel;
} {
  checkOptions('bLeNet', options, ['inputShape', 'classes', 'seed']);
  const { inputShape = [28, 28, 1], classes = 10, seed = 0 } = options;
  checkInteger('bLeNet', 'classes', classes, 1);
  for (const n of inputShape) checkInteger('bLeNet', 'inputShape', n, 1);
  const { activation, conv2d, dense, flatten, maxPooling2d, zeroPadding2d } = tfl.layers;
  const block = (i: number, filters: number, first: object = {}) => [
    zeroPadding2d({ name: `pad${i}`, padding: 3, ...first } as never),
    conv2d({ name: `conv${i}`, filters, kernelSize: 5 }),
    maxPooling2d({ name: `pool${i}`, poolSize: 2, padding: 'same' }),
    activation({ name: `relu${i}`, activation: 'relu' }),
  ];
  return withSeed(seed, () => {
    const trunk = tfl.sequential({
      name: 'lenet',
      layers: [
        ...block(1, 5, { inputShape }),
        ...block(2, 10),
        ...block(3, 20),
        flatten({ name: 'flatten' }),
        dense({ name: 'fc1', units: 84 }),
        dense({ name: 'output', units: classes, activation: 'softmax' }),
      ],
    });
    const head = (name: string) => [
      conv2d({ name: `${name}_conv`, filters: 10, kernelSize: 3, padding: 'same' }),
      maxPooling2d({ name: `${name}_pool`, poolSize: 2, padding: 'same' }),
      activation({ name: `${name}_relu`, activation: 'relu' }),
      flatten({ name: `${name}_flatten` }),
      dense({ name, units: classes, activation: 'softmax' }),
    ];
    return { trunk, branchy: earlyExits(trunk, { after: ['relu1'], head }) };
  });
}
