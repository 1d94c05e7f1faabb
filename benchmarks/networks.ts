// The small networks whose training is measured.
import * as tfl from '@tensorflow/tfjs-layers';
import { withSeed } from 'thimble';

const { conv2d, dense, flatten, globalAveragePooling2d, maxPooling2d, separableConv2d } =
  tfl.layers;
const relu = { activation: 'relu' } as const;
const inputShape: [number, number, number] = [28, 28, 1];

const LAYERS: Record<string, () => tfl.layers.Layer[]> = {
  'LeNet-300-100': () => [
    flatten({ inputShape }),
    dense({ units: 300, ...relu }),
    dense({ units: 100, ...relu }),
    dense({ units: 10, activation: 'softmax' }),
  ],
  'LeNet-5': () => [
    conv2d({ filters: 20, kernelSize: 5, ...relu, inputShape }),
    maxPooling2d({ poolSize: 2 }),
    conv2d({ filters: 50, kernelSize: 5, ...relu }),
    maxPooling2d({ poolSize: 2 }),
    flatten(),
    dense({ units: 500, ...relu }),
    dense({ units: 10, activation: 'softmax' }),
  ],
  separable: () => [
    conv2d({ filters: 16, kernelSize: 3, strides: 2, padding: 'same', ...relu, inputShape }),
    separableConv2d({ filters: 32, kernelSize: 3, padding: 'same', ...relu }),
    separableConv2d({ filters: 64, kernelSize: 3, strides: 2, padding: 'same', ...relu }),
    globalAveragePooling2d({}),
    dense({ units: 10, activation: 'softmax' }),
  ],
};

/** Their names: LeNet-300-100, LeNet-5 with 20, 50 and 500 units, depthwise-separable with 16, 32, 64. */
export const NETWORKS: readonly string[] = Object.keys(LAYERS);

/** One of them, ready for trainOnBatch with Adam. */
export function network(name: string): tfl.Sequential {
  const model = withSeed(1, () => tfl.sequential({ layers: LAYERS[name]!() }));
  model.compile({ optimizer: 'adam', loss: 'categoricalCrossentropy' });
  return model;
}
