import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError } from '@thimble/base';
import { parametrize, registerTransform } from '@thimble/core';
import { savedAndLoaded, useCpu } from '@thimble/testing';
import { expect, it } from 'vitest';
import { scaled } from './transforms.ts';

useCpu();

it('names a transform that is not registered when a model is loaded', async () => {
  const stranger = { ...scaled(2), getClassName: () => 'ThimbleTestStranger' };
  const layer = tfl.layers.dense({ units: 1, inputShape: [1] });
  const model = tfl.sequential({ layers: [parametrize(layer, { kernel: [stranger] })] });
  await expect(savedAndLoaded(model)).rejects.toThrow(NoMatchError);
  await expect(savedAndLoaded(model)).rejects.toThrow(
    'No transform named ThimbleTestStranger is registered: import the package that defines it',
  );
});

it('refuses a name that is taken', () => {
  expect(() => registerTransform('ThimbleTestScaled', () => scaled(1))).toThrow(OptionError);
});

it('adds the chained methods that TensorFlow.js itself calls, and no others', () => {
  const x = tf.tensor2d([
    [1, -2],
    [3, 4],
  ]) as unknown as Record<string, (...args: unknown[]) => tf.Tensor>;
  expect(x.flatten!()).toBeAllClose(tf.tensor1d([1, -2, 3, 4]));
  expect(x.transpose!()).toBeAllClose(
    tf.tensor2d([
      [1, 3],
      [-2, 4],
    ]),
  );
  expect(x.reshape!([4, 1]).shape).toEqual([4, 1]);
  expect(x.sign!()).toBeAllClose([1, -1, 1, 1]);
  expect(x.slice!([0, 1], [2, 1])).toBeAllClose([-2, 4]);
  expect(x.stridedSlice!([0, 0], [2, 2], [1, 2])).toBeAllClose([1, 3]);
  expect(x.split!(2, 0)).toHaveLength(2);
  expect(x.matMul).toBeUndefined();
});

it('gives gradients to tf.prod, which calls a chained method', () => {
  expect(tf.grad((x) => tf.prod(x))(tf.tensor1d([2, 3, 4]))).toBeAllClose([12, 8, 6]);
});
