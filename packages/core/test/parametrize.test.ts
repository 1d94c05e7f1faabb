import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  parametrize,
  parametrizedWeights,
  registerTransform,
  type WeightTransform,
} from '@thimble/core';
import { useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

/** w' = factor * w. */
function scaled(factor: number): WeightTransform {
  return {
    getClassName: () => 'ThimbleTestScaled',
    getConfig: () => ({ factor }),
    build: () => null,
    apply: (weight) => tf.mul(weight, factor),
    bake: (weight) => tf.mul(weight, factor),
    encoding: () => ({}),
  };
}
registerTransform('ThimbleTestScaled', (config) => scaled(config.factor as number));

/** w' = w + offset, with a trainable offset; after a step the stored weight is clipped to [-1, 1]. */
function shifted(): WeightTransform<tf.Variable> {
  return {
    getClassName: () => 'ThimbleTestShifted',
    getConfig: () => ({}),
    build: (site) => site.addWeight('offset', [1], 0.5, true),
    apply: (weight, offset) => tf.add(weight, offset),
    update: (_before, after) => tf.clipByValue(after, -1, 1),
    bake: (weight, offset) => tf.add(weight, offset),
    encoding: () => ({}),
  };
}
registerTransform('ThimbleTestShifted', shifted);

const kernel = () => tfl.initializers.constant({ value: 2 });

describe('parametrize', () => {
  it('lets the layer compute with the last link of the chain', () => {
    const layer = tfl.layers.dense({
      units: 1,
      useBias: false,
      kernelInitializer: kernel(),
      inputShape: [1],
    });
    const model = tfl.sequential({
      layers: [parametrize(layer, { kernel: [shifted(), scaled(3)] })],
    });
    // (2 + 0.5) * 3 for the input 1
    expect(model.predict(tf.ones([1, 1]))).toBeAllClose([[7.5]]);
  });

  it('lists the weights of a model with their update', () => {
    const layer = tfl.layers.dense({ units: 1, kernelInitializer: kernel(), inputShape: [1] });
    const model = tfl.sequential({
      layers: [parametrize(layer, { kernel: [shifted(), scaled(3)] })],
    });
    const [found, ...others] = parametrizedWeights(model);
    expect(others).toEqual([]);
    expect(found).toMatchObject({ layer, weight: 'kernel', hasUpdate: true });
    expect(found!.variable).toBeAllClose([2]);
    expect(found!.update(tf.tensor([[0]]), tf.tensor([[5]]))).toBeAllClose([1]);
  });
});
