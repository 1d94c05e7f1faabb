// The networks of the pruning literature, for images of 28 x 28 with one channel and 10 classes. All give
// probabilities.
import * as tfl from '@tensorflow/tfjs-layers';
import { withSeed } from 'thimble';

const { conv2d, dense, dropout, flatten, maxPooling2d } = tfl.layers;
const inputShape: [number, number, number] = [28, 28, 1];
const relu = { activation: 'relu' } as const;
const output = () => dense({ name: 'output', units: 10, activation: 'softmax' });

/** Gaussian Glorot initialisation, as the lottery-ticket experiments have it. */
const glorot = { kernelInitializer: 'glorotNormal' } as const;

function conv(name: string, filters: number, first = false) {
  const shape = first ? { inputShape } : {};
  return conv2d({ name, filters, kernelSize: 3, padding: 'same', ...relu, ...glorot, ...shape });
}

export type NetworkName = 'lenet300' | 'lenet5' | 'conv2' | 'conv4';

const LAYERS: Record<NetworkName, () => tfl.layers.Layer[]> = {
  /** 784-300-100-10: 266,200 weights. */
  lenet300: () => [
    flatten({ inputShape }),
    dense({ name: 'fc1', units: 300, ...relu, ...glorot }),
    dense({ name: 'fc2', units: 100, ...relu, ...glorot }),
    output(),
  ],
  /** LeNet-5 as Caffe has it, 20-50-500-10: 430,500 weights. */
  lenet5: () => [
    conv2d({ name: 'conv1', filters: 20, kernelSize: 5, inputShape, ...glorot }),
    maxPooling2d({ poolSize: 2 }),
    conv2d({ name: 'conv2', filters: 50, kernelSize: 5, ...glorot }),
    maxPooling2d({ poolSize: 2 }),
    flatten(),
    dense({ name: 'fc1', units: 500, ...relu, ...glorot }),
    output(),
  ],
  /** Conv-2 of the lottery-ticket paper at MNIST's size: 64-64, pool, 256-256-10. */
  conv2: () => [
    conv('conv1', 64, true),
    conv('conv2', 64),
    maxPooling2d({ poolSize: 2 }),
    flatten(),
    dense({ name: 'fc1', units: 256, ...relu, ...glorot }),
    dense({ name: 'fc2', units: 256, ...relu, ...glorot }),
    output(),
  ],
  /** Conv-4: 64-64, pool, 128-128, pool, 256-256-10. */
  conv4: () => [
    conv('conv1', 64, true),
    conv('conv2', 64),
    maxPooling2d({ poolSize: 2 }),
    conv('conv3', 128),
    conv('conv4', 128),
    maxPooling2d({ poolSize: 2 }),
    flatten(),
    dense({ name: 'fc1', units: 256, ...relu, ...glorot }),
    dense({ name: 'fc2', units: 256, ...relu, ...glorot }),
    output(),
  ],
};

/** Names of the networks. */
export const NETWORKS: readonly NetworkName[] = Object.keys(LAYERS) as NetworkName[];

/** A network with weights drawn from a seed; with `drop`, dropout of that rate before each dense layer. */
export function network(name: NetworkName, seed: number, drop = 0): tfl.Sequential {
  return withSeed(seed, () => {
    const layers = LAYERS[name]().flatMap((layer) =>
      drop > 0 && /^(fc[2-9]|output)/.test(layer.name) ? [dropout({ rate: drop }), layer] : [layer],
    );
    return tfl.sequential({ name, layers });
  });
}
