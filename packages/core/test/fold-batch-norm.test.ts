import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { Random, withSeed } from '@thimble/base';
import { foldBatchNorm, foldReport, parametrize, walkLayers } from '@thimble/core';
import { expectNoLeaks, outputs, savedAndLoaded, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { scaled } from './transforms.ts';

useCpu();

const { layers } = tfl;
const random = new Random('batch norm');

/** Gives batch normalisation statistics as training would leave them, and biases other than 0. */
function used<M extends tfl.LayersModel>(model: M): M {
  for (const layer of walkLayers(model)) {
    const isNorm = layer.getClassName() === 'BatchNormalization';
    layer.weights.forEach((weight) => {
      const { shape, originalName } = weight as tfl.LayerVariable & { shape: number[] };
      if (!isNorm && !originalName.includes('bias')) return;
      const positive = originalName.includes('variance');
      const values = Float32Array.from({ length: shape[0]! }, () =>
        positive ? random.uniform(0.2, 3) : random.uniform(-2, 2),
      );
      weight.write(tf.tensor(values));
    });
  }
  return model;
}

const norm = (options = {}) => layers.batchNormalization(options);
const inputs = (shape: number[]) => tf.randomUniform([3, ...shape], -1, 1, 'float32', 5);
const norms = (model: tfl.LayersModel) =>
  walkLayers(model).filter((layer) => layer.getClassName() === 'BatchNormalization');

async function expectFolded(model: tfl.LayersModel, shape: number[], left = 0) {
  const folded = await foldBatchNorm(model);
  const x = inputs(shape);
  expect(outputs(folded, x)).toBeAllClose(outputs(model, x), 1e-5);
  expect(norms(folded)).toHaveLength(left);
  return folded;
}

const cases: [string, () => tfl.layers.Layer, number[]][] = [
  ['dense', () => layers.dense({ units: 3 }), [4]],
  ['dense without bias', () => layers.dense({ units: 3, useBias: false }), [4]],
  ['conv1d', () => layers.conv1d({ filters: 3, kernelSize: 2 }), [5, 2]],
  ['conv2d', () => layers.conv2d({ filters: 3, kernelSize: 2, padding: 'same' }), [4, 4, 2]],
  [
    'depthwiseConv2d',
    () => layers.depthwiseConv2d({ kernelSize: 2, depthMultiplier: 3, useBias: false }),
    [4, 4, 2],
  ],
  ['separableConv2d', () => layers.separableConv2d({ filters: 3, kernelSize: 2 }), [4, 4, 2]],
  [
    'conv2dTranspose',
    () => layers.conv2dTranspose({ filters: 3, kernelSize: 2, strides: 2 }),
    [3, 3, 2],
  ],
];

describe('foldBatchNorm', () => {
  it.each(cases)('folds into %s', async (_, make, inputShape) => {
    const model = used(
      withSeed(1, () =>
        tfl.sequential({
          layers: [layers.inputLayer({ inputShape }), make(), norm(), layers.reLU()],
        }),
      ),
    );
    const folded = await expectFolded(model, inputShape);
    expect(foldReport(folded).kept).toEqual([]);
    expect(foldReport(folded).folded).toEqual([
      { name: model.layers.at(-2)!.name, into: model.layers.at(-3)!.name },
    ]);
  });

  it.each([{ scale: false }, { center: false }, { epsilon: 0.1 }])(
    'knows the options %o',
    async (options) => {
      const model = used(
        tfl.sequential({ layers: [layers.dense({ units: 3, inputShape: [4] }), norm(options)] }),
      );
      await expectFolded(model, [4]);
    },
  );

  it('folds in functional models with branches, nested models and several outputs', async () => {
    const model = used(
      withSeed(2, () => {
        const input = tfl.input({ shape: [6, 6, 2] });
        const conv = layers.conv2d({ filters: 3, kernelSize: 3, useBias: false }).apply(input);
        const normed = norm().apply(conv) as tfl.SymbolicTensor;
        const inner = tfl.sequential({
          layers: [
            layers.conv2d({ filters: 3, kernelSize: 1, inputShape: [4, 4, 3] }),
            norm(),
            layers.reLU(),
          ],
        });
        const deep = inner.apply(layers.reLU().apply(normed)) as tfl.SymbolicTensor;
        const sum = layers.add().apply([normed, deep]) as tfl.SymbolicTensor;
        const flat = layers.flatten().apply(sum);
        const first = norm().apply(layers.dense({ units: 2 }).apply(flat)) as tfl.SymbolicTensor;
        return tfl.model({ inputs: input, outputs: [first, normed] });
      }),
    );
    const folded = await expectFolded(model, [6, 6, 2]);
    expect(foldReport(folded).folded).toHaveLength(3);
    const loaded = await savedAndLoaded(folded);
    const x = inputs([6, 6, 2]);
    expect(outputs(loaded, x)).toEqual(outputs(folded, x));
  });

  it('keeps what it cannot fold, and says why', async () => {
    const input = tfl.input({ shape: [4, 4, 2] });
    const start = norm({ name: 'start' }).apply(input);
    const active = layers.conv2d({ filters: 2, kernelSize: 1, activation: 'relu', name: 'active' });
    const after = norm({ name: 'after' }).apply(active.apply(start));
    const shared = layers.conv2d({ filters: 2, kernelSize: 1, name: 'shared' });
    const one = shared.apply(after) as tfl.SymbolicTensor;
    const both = layers
      .add()
      .apply([norm({ name: 'twice' }).apply(one) as tfl.SymbolicTensor, one]);
    const turned = norm({ name: 'turned', axis: 1 }).apply(
      layers.conv2d({ filters: 2, kernelSize: 1, name: 'plain' }).apply(both),
    );
    const model = used(tfl.model({ inputs: input, outputs: turned as tfl.SymbolicTensor }));
    const folded = await expectFolded(model, [4, 4, 2], 4);
    expect(foldReport(folded)).toEqual({
      folded: [],
      kept: [
        { name: 'start', reason: expect.stringMatching(/^it comes after .* a InputLayer$/) },
        { name: 'after', reason: '"active" has the activation relu before it' },
        { name: 'twice', reason: '"shared" is used by other layers too' },
        { name: 'turned', reason: 'its axis 1 is not that of the channels of "plain"' },
      ],
    });
  });

  it('bakes transforms, and leaves the model as it was', async () => {
    const dense = layers.dense({ units: 3, inputShape: [4] });
    parametrize(dense, { kernel: [scaled(0.5)] });
    const model = used(tfl.sequential({ layers: [dense, norm(), layers.dense({ units: 1 })] }));
    const before = outputs(model, inputs([4]));
    const folded = await expectFolded(model, [4]);
    folded.dispose();
    expect(outputs(model, inputs([4]))).toEqual(before);
  });

  it('copies a model without batch normalisation', async () => {
    const model = tfl.sequential({
      layers: [
        layers.lstm({ units: 2, inputShape: [3, 2], returnSequences: true }),
        layers.bidirectional({ layer: layers.gru({ units: 2 }) as tfl.RNN, mergeMode: 'concat' }),
        layers.dense({ units: 2 }),
      ],
    });
    const folded = await expectFolded(model, [3, 2]);
    expect(foldReport(folded)).toEqual({ folded: [], kept: [] });
  });

  it('leaves no tensor behind', async () => {
    const model = used(
      tfl.sequential({ layers: [layers.dense({ units: 3, inputShape: [4] }), norm()] }),
    );
    await expectNoLeaks(async () => (await foldBatchNorm(model)).dispose());
  });

  it('names models that it did not make', () => {
    const model = tfl.sequential({ layers: [layers.dense({ units: 3, inputShape: [4] })] });
    expect(() => foldReport(model)).toThrow('was not made by foldBatchNorm');
  });
});
