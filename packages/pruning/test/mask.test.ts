import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { DataError, NoMatchError, ShapeError, UnsupportedError } from '@thimble/base';
import { parametrize, parametrizedWeights } from '@thimble/core';
import { mask, setMask } from '@thimble/pruning';
import { train, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

function maskedDense(values: number[][], options = {}) {
  const layer = tfl.layers.dense({
    units: values[0]!.length,
    weights: [tf.tensor2d(values)],
    useBias: false,
    inputShape: [values.length],
  });
  parametrize(layer, { kernel: [mask(options)] });
  const model = tfl.sequential({ layers: [layer] });
  return { layer, model, weight: parametrizedWeights(model)[0]! };
}

describe('mask', () => {
  it('keeps everything until it is told otherwise', () => {
    const { weight } = maskedDense([[1, -2, 3]]);
    expect(weight.bake()).toBeAllClose([[1, -2, 3]], 0);
    expect(weight.encoding().mask).toEqual(Uint8Array.of(1, 1, 1));
  });

  it('starts with the smallest weights masked', () => {
    const { weight } = maskedDense([[1, -2, 3, 0.5]], { sparsity: 0.5 });
    expect(weight.bake()).toBeAllClose([[0, -2, 3, 0]], 0);
    expect(weight.encoding().nonzero).toBe(2);
  });

  it('masks the trained weights of a layer that is built already', () => {
    const layer = tfl.layers.dense({
      units: 2,
      weights: [tf.tensor2d([[3, 1]])],
      useBias: false,
      inputShape: [1],
    });
    const model = tfl.sequential({ layers: [layer] });
    parametrize(layer, { kernel: [mask({ sparsity: 0.5 })] });
    expect(model.predict(tf.ones([1, 1]))).toBeAllClose([[3, 0]], 0);
  });

  it.each([
    ['momentum', () => tf.train.momentum(0.1, 0.9)],
    ['adam', () => tf.train.adam(0.1)],
  ])('lets no %s bring a pruned weight back', async (_name, optimizer) => {
    const { layer, model, weight } = maskedDense([[1], [2], [3], [4]]);
    model.compile({ optimizer: optimizer(), loss: 'meanSquaredError' });
    await train(model, tf.randomNormal([8, 4], 0, 1, 'float32', 1));
    setMask(layer, [0, 1, 1, 0]);
    const before = weight.variable.dataSync().slice();
    model.compile({ optimizer: optimizer(), loss: 'meanSquaredError' });
    await train(model, tf.randomNormal([8, 4], 0, 1, 'float32', 2));
    const after = weight.variable.dataSync();
    expect([after[0], after[3]]).toEqual([before[0], before[3]]);
    expect(after[1]).not.toBe(before[1]);
    expect(Array.from(weight.bake().dataSync(), (value) => value !== 0)).toEqual([
      false,
      true,
      true,
      false,
    ]);
  });
});

it('intersects with another mask in the chain', () => {
  const { layer, weight } = maskedDense([[1, 2, 3, 4]]);
  parametrize(layer, { kernel: [mask({ sparsity: 0.5 })] });
  setMask(weight, [1, 1, 1, 0]);
  expect(weight.bake()).toBeAllClose([[0, 0, 3, 0]], 0);
  const [both] = parametrizedWeights(layer);
  expect(both!.encoding()).toMatchObject({ mask: Uint8Array.of(0, 0, 1, 0), nonzero: 1 });
});

describe('setMask', () => {
  it('takes a tensor of the weight, or flat values', () => {
    const { layer, weight } = maskedDense([
      [1, 2],
      [3, 4],
    ]);
    setMask(
      layer,
      tf.tensor2d([
        [1, 0],
        [0, 1],
      ]),
    );
    expect(weight.bake()).toBeAllClose(
      [
        [1, 0],
        [0, 4],
      ],
      0,
    );
    setMask(weight, Uint8Array.of(0, 1, 1, 0));
    expect(weight.bake()).toBeAllClose(
      [
        [0, 2],
        [3, 0],
      ],
      0,
    );
  });

  it('names what is wrong with a mask', () => {
    const { layer } = maskedDense([
      [1, 2],
      [3, 4],
    ]);
    expect(() => setMask(layer, [1, 0, 0.5, 1])).toThrow(DataError);
    expect(() => setMask(layer, [1, 0, 0.5, 1])).toThrow(
      /entry 2 of the mask for "kernel" of layer "dense_Dense\d+" is 0.5/,
    );
    expect(() => setMask(layer, [1, 0])).toThrow(ShapeError);
    expect(() => setMask(layer, tf.ones([4]))).toThrow('takes a mask of shape [2,2], not [4]');
  });

  it('names what is wrong with a target', () => {
    const bare = tfl.layers.dense({ units: 1, inputShape: [1], name: 'bare' });
    tfl.sequential({ layers: [bare] });
    expect(() => setMask(bare, [1])).toThrow(NoMatchError);
    expect(() => setMask(bare, [1])).toThrow('Layer "bare" has no mask');
    const lstm = tfl.layers.lstm({ units: 1, inputShape: [1, 1], name: 'lstm' });
    parametrize(lstm, { kernel: [mask()], recurrentKernel: [mask()] });
    tfl.sequential({ layers: [lstm] });
    expect(() => setMask(lstm, [1, 1, 1, 1])).toThrow('(lstm/kernel, lstm/recurrentKernel)');
    setMask(parametrizedWeights(lstm)[1]!, [1, 1, 1, 0]);
  });

  it('names options that are wrong', () => {
    expect(() => mask({ sparsity: 1.5 })).toThrow(
      'mask: sparsity must be a number from 0 to 1, not 1.5',
    );
    expect(() => mask({ sparsity: 1 })).toThrow('mask: sparsity must be below 1');
    expect(() => mask({ spasity: 0.5 } as never)).toThrow('unknown option "spasity"');
  });

  it('does not hide all of a weight', () => {
    const make = () => tfl.layers.dense({ name: 'small', units: 2, inputShape: [2] });
    const chains = { kernel: [mask({ sparsity: 0.9 })] };
    const message = 'would leave nothing of "kernel" of layer "small", which has 4 entries';
    expect(() => tfl.sequential({ layers: [parametrize(make(), chains)] })).toThrow(message);
    const built = make();
    const model = tfl.sequential({ layers: [built] });
    expect(() => parametrize(built, chains)).toThrow(UnsupportedError);
    expect(model.weights).toHaveLength(2);
  });
});
