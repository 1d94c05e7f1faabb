// A run that was interrupted ends as one that was not, transforms included.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { parametrize, registerTransform, fit as train, type WeightTransform } from '@thimble/core';
import { groupLasso, l0Gates, l1Penalty, mask, supermask } from '@thimble/pruning';
import { fakeQuant } from '@thimble/quantization';
import { smallModel, snapshot, useCpu } from '@thimble/testing';
import { expect, it } from 'vitest';

useCpu();

/** w' = w * (1 + noise) in training, a fresh sample every step. */
function noisy(): WeightTransform<string> {
  return {
    stochastic: true,
    getClassName: () => 'ThimbleTestJitter',
    getConfig: () => ({}),
    build: ({ key }) => key,
    apply: (weight, key, { training, random }) =>
      training ? tf.mul(weight, tf.add(1, random(key, weight.shape))) : weight,
    bake: (weight) => weight,
    encoding: () => ({}),
  };
}
registerTransform('ThimbleTestJitter', noisy);

const chain = () => [mask({ sparsity: 0.5 }), noisy(), fakeQuant({ bits: 6 })];
/** The regularisers, the proximal step first. */
const regular = () => [
  groupLasso({ strength: 0.5, over: 'filters' }),
  l0Gates({ strength: 0.01 }),
  l1Penalty({ strength: 0.01 }),
];
const layers: [string, number[], () => tfl.layers.Layer][] = [
  [
    'regularised dense',
    [4],
    () => parametrize(tfl.layers.dense({ units: 3 }), { kernel: regular() }),
  ],
  [
    'regularised lstm',
    [3, 2],
    () => parametrize(tfl.layers.lstm({ units: 3 }), { kernel: regular() }),
  ],
  [
    'supermasked dense',
    [4],
    () => parametrize(tfl.layers.dense({ units: 3 }), { kernel: [supermask({ scale: true })] }),
  ],
  ['dense', [4], () => parametrize(tfl.layers.dense({ units: 3 }), { kernel: chain() })],
  [
    'conv2d',
    [4, 4, 1],
    () => parametrize(tfl.layers.conv2d({ filters: 2, kernelSize: 2 }), { kernel: chain() }),
  ],
  [
    'bidirectional',
    [3, 2],
    () =>
      parametrize(
        tfl.layers.bidirectional({
          layer: tfl.layers.lstm({ units: 2 }) as tfl.RNN,
          mergeMode: 'concat',
        }),
        { kernel: chain(), recurrentKernel: chain() },
      ),
  ],
];

it.each(layers)(
  '%s: a resumed fit ends bit-identical to an unbroken one',
  async (_name, shape, make) => {
    const data = {
      xs: tf.randomNormal([10, ...shape], 0, 1, 'float32', 1),
      ys: tf.randomNormal([10, 1], 0, 1, 'float32', 2),
    };
    const options = {
      batchSize: 4,
      optimizer: 'adam',
      loss: 'meanSquaredError',
      seed: 3,
      progress: false,
    } as const;
    const unbroken = smallModel(make, shape);
    await train(unbroken, data, { ...options, epochs: 4 });

    let bytes: Uint8Array | undefined;
    const store = {
      read: async () => bytes,
      write: async (written: Uint8Array) => {
        bytes = written.slice();
      },
    };
    await train(smallModel(make, shape), data, { ...options, epochs: 2, checkpoint: { store } });
    const resumed = smallModel(make, shape);
    const before = snapshot(resumed);
    await train(resumed, data, { ...options, epochs: 4, checkpoint: { store } });
    expect(snapshot(resumed)).toEqual(snapshot(unbroken));
    expect(snapshot(resumed)).not.toEqual(before);
  },
);
