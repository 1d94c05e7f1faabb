import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError, ShapeError, UnsupportedError } from '@thimble/base';
import {
  parametrize,
  parametrizedWeights,
  unparametrize,
  type WeightTransform,
  walkLayers,
} from '@thimble/core';
import { expectSameOutputs, savedAndLoaded, snapshot, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { constant, scaled, shifted } from './transforms.ts';

useCpu();

/** A dense unit without bias whose kernel is 2 everywhere. */
const twos = (name = 'dense') =>
  tfl.layers.dense({
    units: 1,
    useBias: false,
    kernelInitializer: tfl.initializers.constant({ value: 2 }),
    inputShape: [1],
    name,
  });

const one = () => tf.ones([1, 1]);
const sequential = (...layers: tfl.layers.Layer[]) => tfl.sequential({ layers });

describe('parametrize', () => {
  it('lets the layer compute with the last link of the chain', () => {
    const model = sequential(parametrize(twos(), { kernel: [shifted(), scaled(3)] }));
    // (2 + 0.5) * 3
    expect(model.predict(one())).toBeAllClose([[7.5]]);
  });

  it('appends at a second call', () => {
    const layer = parametrize(parametrize(twos(), { kernel: [scaled(3)] }), {
      kernel: [shifted()],
    });
    // 2 * 3 + 0.5
    expect(sequential(layer).predict(one())).toBeAllClose([[6.5]]);
  });

  it('works on a layer that is built and in a model, and saves it', async () => {
    const layer = twos();
    const model = sequential(layer, tfl.layers.dense({ units: 1, name: 'after' }));
    parametrize(layer, { kernel: [shifted(), shifted()] });
    expect(Object.keys(snapshot(model))).toEqual([
      'dense/kernel',
      'dense/kernel_offset',
      'dense/kernel_offset2',
      'after/kernel',
      'after/bias',
    ]);
    const loaded = await savedAndLoaded(model);
    expect(Object.keys(snapshot(loaded))).toEqual(Object.keys(snapshot(model)));
    expectSameOutputs(model, loaded, one());
  });

  it('leaves the layer what it was', () => {
    const layer = parametrize(
      tfl.layers.dense({ units: 3, inputShape: [2], kernelConstraint: 'nonNeg' }),
      {
        kernel: [scaled(2)],
      },
    );
    sequential(layer);
    const { units, kernel } = layer as unknown as { units: number; kernel: tfl.LayerVariable };
    expect(units).toBe(3);
    expect(kernel.shape).toEqual([2, 3]);
    expect(kernel.name).toBe(layer.trainableWeights[0]!.name);
    expect(kernel.constraint.getClassName()).toBe('NonNeg');
    kernel.trainable = false;
    expect(layer.trainableWeights.map(({ shape }) => shape)).toEqual([[3]]);
  });

  it('freezes the stored weight under a source, for good', () => {
    const layer = parametrize(twos(), { kernel: [constant(), scaled(2)] });
    const model = sequential(layer);
    expect(model.predict(one())).toBeAllClose([[6]]);
    layer.trainable = true;
    model.trainable = true;
    expect(model.trainableWeights.map(({ originalName }) => originalName)).toEqual([
      'dense/kernel_value',
    ]);
  });

  it('evaluates a chain once per sequence, and in TimeDistributed once per step', () => {
    let calls = 0;
    const counting: WeightTransform = {
      ...scaled(1),
      apply(weight) {
        calls++;
        return tf.clone(weight);
      },
    };
    const count = (layer: tfl.layers.Layer) => {
      calls = 0;
      tf.tidy(() => layer.apply(tf.ones([2, 5, 3])) as tf.Tensor);
      return calls;
    };
    const { lstm, bidirectional, timeDistributed, dense } = tfl.layers;
    expect(count(parametrize(lstm({ units: 2 }), { kernel: [counting] }))).toBe(1);
    const both = bidirectional({ layer: lstm({ units: 2 }) as tfl.RNN, mergeMode: 'concat' });
    expect(count(parametrize(both, { kernel: [counting] }))).toBe(2);
    const perStep = timeDistributed({ layer: dense({ units: 2 }) });
    expect(count(parametrize(perStep, { kernel: [counting] }))).toBe(5);
  });

  it('works on cells by themselves, stacked ones included', async () => {
    const cells = [2, 3].map((units) =>
      parametrize(tfl.layers.lstmCell({ units }), { recurrentKernel: [scaled(0.5), shifted()] }),
    );
    const layer = tfl.layers.rnn({ cell: cells as never, inputShape: [4, 2] });
    const model = sequential(layer);
    expect(parametrizedWeights(model)).toHaveLength(2);
    expectSameOutputs(model, await savedAndLoaded(model), tf.ones([1, 4, 2]));
  });

  it('names a weight that does not exist when the layer is built, or at once', () => {
    const message = 'Layer "named" (Dense) has no weight "kernal". Its weights: kernel.';
    const layer = parametrize(twos('named'), { kernal: [scaled(2)] });
    expect(() => sequential(layer)).toThrow(NoMatchError);
    const built = twos('named');
    sequential(built);
    expect(() => parametrize(built, { kernal: [scaled(2)] })).toThrow(message);
  });

  it('leaves a layer as it was where a transform is refused', () => {
    const refused: WeightTransform = {
      ...scaled(2),
      build: () => {
        throw new OptionError('not here');
      },
    };
    const both = tfl.layers.bidirectional({
      layer: tfl.layers.simpleRNN({ units: 2 }) as tfl.RNN,
      mergeMode: 'concat',
      inputShape: [3, 2],
    });
    const layers = [twos(), both];
    for (const layer of layers) {
      const model = sequential(layer);
      const look = () => JSON.stringify([model.toJSON(), snapshot(model), tf.memory().numTensors]);
      const before = look();
      expect(() => parametrize(layer, { nothing: [shifted()] })).toThrow(NoMatchError);
      expect(look()).toBe(before);
      expect(() => parametrize(layer, { kernel: [shifted(), refused] })).toThrow('not here');
      expect(look()).toBe(before);
      parametrize(layer, { kernel: [shifted()] });
      const chained = look();
      expect(() => parametrize(layer, { kernel: [shifted(), refused] })).toThrow('not here');
      expect(look()).toBe(chained);
    }
  });

  it('takes back what it did, and leaves what others have added', async () => {
    const inner = tfl.layers.simpleRNN({ units: 2 }) as tfl.RNN;
    const cell = [tfl.layers.gruCell({ units: 2 }), tfl.layers.gruCell({ units: 3 })] as never;
    const layers = [
      twos(),
      tfl.layers.bidirectional({ layer: inner, mergeMode: 'concat', inputShape: [3, 2] }),
      tfl.layers.rnn({ cell, inputShape: [3, 2] }),
    ];
    const offset = (): WeightTransform => {
      const { penalty: _, ...rest } = shifted();
      return rest;
    };
    for (const layer of layers) {
      const model = sequential(layer);
      const own = () => walkLayers(model).map((each) => Object.keys(each).sort());
      const look = () =>
        JSON.stringify([model.toJSON(), snapshot(model), tf.memory().numTensors, own()]);
      const before = look();
      const chains = { kernel: [offset(), scaled(2)] };
      parametrize(layer, chains);
      expect(look()).not.toBe(before);
      unparametrize(layer, chains);
      expect(look()).toBe(before);
      unparametrize(layer, chains); // nothing is left to take back
      expect(look()).toBe(before);
      // In between another has added a link.
      parametrize(layer, chains);
      parametrize(layer, { kernel: [scaled(3)] });
      unparametrize(layer, chains);
      for (const { links, variables } of parametrizedWeights(model)) {
        expect([links.length, variables.length]).toEqual([1, 1]);
      }
      const x = tf.ones([1, ...(model.inputs[0]!.shape.slice(1) as number[])]);
      expectSameOutputs(model, await savedAndLoaded(model), x);
    }
    const late = twos();
    const chains = { kernel: [scaled(3)] };
    unparametrize(parametrize(late, chains), chains); // before it is built
    expect(sequential(late).predict(one())).toBeAllClose([[2]]);
    expect(() => unparametrize(late, { kernel: [constant()] })).toThrow(UnsupportedError);
  });

  it.each([null, 'mask', {}, () => scaled(2)])('refuses what is no transform: %s', (other) => {
    expect(() => parametrize(twos('it'), { kernel: [scaled(2), other as never] })).toThrow(
      'parametrize: number 2 of the transforms for "kernel" of layer "it" is none.',
    );
  });

  it('refuses what cannot work', () => {
    expect(() => parametrize(twos(), {})).toThrow(OptionError);
    expect(() => parametrize(twos(), { kernel: [] })).toThrow('an array of one or more transforms');
    expect(() => parametrize(sequential(twos()), { kernel: [scaled(1)] })).toThrow(
      UnsupportedError,
    );
    const late = parametrize(twos(), { kernel: [scaled(2), constant()] });
    expect(() => sequential(late)).toThrow(
      'must be the first transform of "kernel" of layer "dense", not number 2',
    );
    const wide = { ...scaled(1), apply: () => tf.ones([7]) };
    const model = sequential(parametrize(twos(), { kernel: [wide] }));
    expect(() => model.predict(one())).toThrow(ShapeError);
    expect(() => model.predict(one())).toThrow(
      'ThimbleTestScaled made [7] of "kernel" of layer "dense"',
    );
  });
});

describe('parametrizedWeights', () => {
  it('lists nested, wrapped and shared weights once, in order', () => {
    const { input, timeDistributed, dense, lstm, bidirectional, add } = tfl.layers;
    const shared = parametrize(dense({ units: 2, name: 'shared' }), { kernel: [scaled(2)] });
    const inner = sequential(
      parametrize(dense({ units: 2, inputShape: [2], name: 'inner' }), { bias: [shifted()] }),
    );
    const x = input({ shape: [3, 2] });
    const wrapped = parametrize(timeDistributed({ layer: dense({ units: 2, name: 'wrapped' }) }), {
      kernel: [scaled(1)],
    });
    const both = bidirectional({
      layer: lstm({ units: 1, name: 'lstm' }) as tfl.RNN,
      mergeMode: 'concat',
    });
    parametrize(both, { recurrentKernel: [scaled(1)] });
    const y = both.apply(wrapped.apply(x)) as tfl.SymbolicTensor;
    const z = add().apply([shared.apply(y), shared.apply(inner.apply(y))] as tfl.SymbolicTensor[]);
    const model = tfl.model({ inputs: x, outputs: z as tfl.SymbolicTensor });
    const found = parametrizedWeights(model).map(({ layer, weight, hasUpdate }) => [
      layer.name,
      weight,
      hasUpdate,
    ]);
    expect(found).toEqual([
      ['wrapped', 'kernel', false],
      ['forward_lstm', 'recurrentKernel', false],
      ['backward_lstm', 'recurrentKernel', false],
      ['inner', 'bias', true],
      ['shared', 'kernel', false],
    ]);
  });

  it('composes updates in the order of the chain', () => {
    const doubled: WeightTransform = {
      ...scaled(1),
      update: (before, after) => tf.sub(tf.mul(after, 2), before),
    };
    const [weight] = parametrizedWeights(
      sequential(parametrize(twos(), { kernel: [doubled, shifted()] })),
    );
    // 2 * 0.7 - 1 = 0.4; 2 * 3 - 1 = 5, clipped to 1
    expect(weight!.update(tf.tensor([1, 1]), tf.tensor([0.7, 3]))).toBeAllClose([0.4, 1]);
    const after = tf.tensor([1]);
    const [plain] = parametrizedWeights(sequential(parametrize(twos(), { kernel: [scaled(2)] })));
    expect(plain!.update(tf.tensor([0]), after)).toBe(after);
  });

  it('is told what the axes of a weight mean', () => {
    const axes = (layer: tfl.layers.Layer, weight: string, shape: number[]) => {
      parametrize(layer, { [weight]: [scaled(1)] }).build(shape);
      return parametrizedWeights(layer)[0]!.axes;
    };
    const { dense, conv2d, conv2dTranspose, depthwiseConv2d, gru, convLstm2d } = tfl.layers;
    expect(axes(dense({ units: 2 }), 'kernel', [1, 3])).toEqual({
      out: 1,
      in: 0,
      space: [],
      gates: 1,
    });
    expect(axes(dense({ units: 2 }), 'bias', [1, 3])).toEqual({
      out: 0,
      in: -1,
      space: [],
      gates: 1,
    });
    const conv = { filters: 2, kernelSize: 3 };
    const image = [1, 8, 8, 3];
    expect(axes(conv2d(conv), 'kernel', image)).toEqual({ out: 3, in: 2, space: [0, 1], gates: 1 });
    expect(axes(conv2dTranspose(conv), 'kernel', image)).toEqual({
      out: 2,
      in: 3,
      space: [0, 1],
      gates: 1,
    });
    expect(axes(depthwiseConv2d({ kernelSize: 3 }), 'depthwiseKernel', image)).toEqual({
      out: 2,
      in: 2,
      space: [0, 1],
      gates: 1,
    });
    expect(axes(gru({ units: 5 }), 'recurrentKernel', [1, 4, 3])).toEqual({
      out: 1,
      in: 0,
      space: [],
      gates: 3,
    });
    expect(axes(convLstm2d(conv), 'kernel', [1, 4, 8, 8, 3])).toEqual({
      out: 3,
      in: 2,
      space: [0, 1],
      gates: 4,
    });
  });
});
