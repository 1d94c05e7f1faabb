import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { OptionError, UnsupportedError } from '@thimble/base';
import { finalize } from '@thimble/core';
import {
  maskedConv2d,
  maskedDense,
  maskedDepthwiseConv2d,
  maskedWeights,
  prunable,
  setMask,
} from '@thimble/pruning';
import {
  describeLayerContract,
  expectSameOutputs,
  inputsFor,
  type LayerCase,
  layerCases,
  savedAndLoaded,
  smallModel,
  snapshot,
  useCpu,
} from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { goneIn, maskOf } from './masks.ts';

useCpu();

describeLayerContract('maskedDense', {
  make: () => maskedDense({ units: 3, activation: 'tanh', sparsity: 0.5 }),
  inputShape: [4],
});
describeLayerContract('maskedConv2d', {
  make: () => maskedConv2d({ filters: 3, kernelSize: 2, activation: 'tanh', sparsity: 0.5 }),
  inputShape: [3, 3, 2],
});
describeLayerContract('maskedDepthwiseConv2d', {
  make: () => maskedDepthwiseConv2d({ kernelSize: 2, depthMultiplier: 2, sparsity: 0.5 }),
  inputShape: [3, 3, 2],
});

const { layers } = tfl;

/** Layer types of tfjs with kernels that the shared list leaves out. */
const moreCases: LayerCase[] = [
  {
    name: 'conv3d',
    make: () => layers.conv3d({ filters: 2, kernelSize: 2 }),
    weights: ['kernel'],
    inputShape: [2, 2, 2, 1],
  },
  {
    name: 'conv3dTranspose',
    make: () => layers.conv3dTranspose({ filters: 2, kernelSize: 2 }),
    weights: ['kernel'],
    inputShape: [2, 2, 2, 1],
  },
  {
    name: 'convLstm2d',
    make: () => layers.convLstm2d({ filters: 2, kernelSize: 2 }),
    weights: ['kernel', 'recurrentKernel'],
    inputShape: [2, 3, 3, 1],
  },
  {
    name: 'rnn with a cell',
    make: () => layers.rnn({ cell: layers.gruCell({ units: 2 }) as never }),
    weights: ['kernel', 'recurrentKernel'],
    inputShape: [3, 2],
  },
  {
    name: 'rnn with stacked cells',
    make: () =>
      layers.rnn({
        cell: [layers.lstmCell({ units: 2 }), layers.gruCell({ units: 3 })] as never,
      }),
    weights: ['kernel', 'recurrentKernel', 'kernel', 'recurrentKernel'],
    inputShape: [3, 2],
  },
  {
    name: 'timeDistributed separableConv2d',
    make: () =>
      layers.timeDistributed({ layer: layers.separableConv2d({ filters: 2, kernelSize: 2 }) }),
    weights: ['depthwiseKernel', 'pointwiseKernel'],
    inputShape: [2, 3, 3, 1],
  },
];
const cases = [...layerCases, ...moreCases]
  .filter(({ name }) => name !== 'batchNormalization')
  .map((each) => ({ ...each, weights: each.weights.filter((name) => name !== 'bias') }));

describe.each(cases)('prunable on $name', (each) => {
  const { make, inputShape, weights, name } = each;
  const directions = name === 'bidirectional' ? 2 : 1;

  it('masks every kernel, before the layer is built and after', () => {
    const unbuilt = smallModel(() => prunable(make()), inputShape);
    const built = smallModel(make, inputShape);
    prunable(built.layers[1]!);
    for (const model of [unbuilt, built]) {
      const masks = maskedWeights(model);
      expect(masks.map(({ weight }) => weight.weight)).toEqual(
        Array.from({ length: directions }, () => weights).flat(),
      );
    }
    const x = inputsFor(each);
    expectSameOutputs(smallModel(make, inputShape), unbuilt, x);
    expectSameOutputs(built, unbuilt, x);
  });

  it('masks exactly the share that it is told', () => {
    const model = smallModel(() => prunable(make(), { sparsity: 0.5 }), inputShape);
    for (const each of maskedWeights(model)) {
      expect(goneIn(each), each.name).toBe(Math.round(0.5 * each.mask.size));
    }
  });

  it('comes back from a saved model with its masks', async () => {
    const model = smallModel(() => prunable(make(), { sparsity: 0.25 }), inputShape);
    const [first] = maskedWeights(model);
    setMask(
      first!.weight,
      maskOf(first!).map((_, i) => i % 2),
    );
    const loaded = await savedAndLoaded(model);
    expect(maskedWeights(loaded).map(maskOf)).toEqual(maskedWeights(model).map(maskOf));
    expect(snapshot(loaded)).toEqual(snapshot(model));
    expectSameOutputs(model, loaded, inputsFor(each));
  });
});

it('computes as the layers of tfjs with a masked kernel do', () => {
  const x = tf.randomNormal([2, 3, 3, 2], 0, 1, 'float32', 1);
  const kernel = tf.randomNormal([2, 2, 2, 3], 0, 1, 'float32', 2);
  const layer = maskedConv2d({
    filters: 3,
    kernelSize: 2,
    useBias: false,
    weights: [kernel],
    inputShape: [3, 3, 2],
    sparsity: 0.5,
  });
  tfl.sequential({ layers: [layer] });
  // The 12 of 24 entries that are smallest in magnitude, found by sorting.
  const values = Array.from(kernel.dataSync());
  const order = [...values.keys()].sort((a, b) => Math.abs(values[a]!) - Math.abs(values[b]!));
  for (const i of order.slice(0, 12)) values[i] = 0;
  const expected = tf.conv2d(x as tf.Tensor4D, tf.tensor4d(values, [2, 2, 2, 3]), 1, 'valid');
  expect(layer.apply(x) as tf.Tensor).toBeAllClose(expected);
});

it('takes the arguments of its counterpart, and keeps its class when it is baked', async () => {
  const layer = maskedDense({
    units: 4,
    activation: 'relu',
    name: 'hidden',
    useBias: false,
    inputShape: [3],
    sparsity: 0.75,
  });
  const model = tfl.sequential({ layers: [layer] });
  const plain = await finalize(model);
  expect(plain.layers[0]!.getClassName()).toBe('Dense');
  expect(plain.layers[0]!.getConfig()).toMatchObject({
    units: 4,
    activation: 'relu',
    name: 'hidden',
    useBias: false,
  });
  expect(
    plain
      .getWeights()[0]!
      .dataSync()
      .filter((value) => value !== 0),
  ).toHaveLength(3);
});

describe('errors', () => {
  it.each([
    ['flatten', layers.flatten({ name: 'flat' }), 'layer "flat" (Flatten) has no kernel'],
    [
      'stacked cells',
      layers.rnn({ name: 'r', cell: [] as never }),
      'layer "r" (RNN) has no kernel',
    ],
    ['a model', tfl.sequential({ name: 'net' }), '"net" is a model'],
  ])('for %s', (_name, layer, message) => {
    expect(() => prunable(layer)).toThrow(UnsupportedError);
    expect(() => prunable(layer)).toThrow(`prunable: ${message}`);
  });

  it('for a layer of another class until it is built', () => {
    class Scale extends tfl.layers.Layer {
      static className = 'TestScale';
      kernel!: tfl.LayerVariable;
      override build(inputShape: number[]): void {
        const initializer = tfl.initializers.ones();
        this.kernel = this.addWeight('kernel', [inputShape[1]!], 'float32', initializer);
        this.built = true;
      }
      override call(x: tf.Tensor): tf.Tensor {
        return tf.mul([x].flat()[0]!, this.kernel.read());
      }
    }
    const layer = new Scale({ inputShape: [2] });
    expect(() => prunable(layer)).toThrow('none that is known before it is built');
    tfl.sequential({ layers: [layer] });
    setMask(prunable(layer), [0, 1]);
    expect(layer.apply(tf.ones([1, 2])) as tf.Tensor).toBeAllClose([[0, 1]], 0);
  });

  it('for a sparsity that is none', () => {
    expect(() => maskedDense({ units: 1, sparsity: 2 })).toThrow(OptionError);
    expect(() => maskedDense({ units: 1, sparsity: 2 })).toThrow(
      'sparsity must be a number from 0',
    );
  });
});
