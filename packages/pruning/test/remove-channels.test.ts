import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError, Random, UnsupportedError, withSeed } from '@thimble/base';
import { channelGroups, fit, summarize, withChannelsZeroed } from '@thimble/core';
import {
  type Compensation,
  criteria,
  maskedWeights,
  prune,
  removalReport,
  removeChannels,
  setMask,
} from '@thimble/pruning';
import {
  expectNoLeaks,
  expectSameOutputs,
  savedAndLoaded,
  snapshot,
  useCpu,
} from '@thimble/testing';
import { beforeAll, describe, expect, it } from 'vitest';

useCpu();

const { conv2d, dense, flatten, maxPooling2d, batchNormalization, activation } = tfl.layers;

function lenet(seed = 1): tfl.Sequential {
  return withSeed(seed, () =>
    tfl.sequential({
      layers: [
        conv2d({
          name: 'conv1',
          filters: 4,
          kernelSize: 3,
          padding: 'same',
          inputShape: [8, 8, 2],
        }),
        batchNormalization({ name: 'norm', gammaInitializer: 'randomUniform' }),
        activation({ name: 'relu', activation: 'relu' }),
        maxPooling2d({ poolSize: 2 }),
        conv2d({ name: 'conv2', filters: 6, kernelSize: 3, activation: 'relu' }),
        flatten(),
        dense({ name: 'fc1', units: 8, activation: 'relu' }),
        dense({ name: 'fc2', units: 3, activation: 'softmax' }),
      ],
    }),
  );
}

function examples(n = 24) {
  const random = new Random('remove channels');
  const pixels = Float32Array.from({ length: n * 128 }, () => random.normal());
  const labels = Int32Array.from({ length: n }, () => random.integer(3));
  const ys = tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d(labels, 'int32'), 3), 'float32'));
  return { xs: tf.tensor4d(pixels, [n, 8, 8, 2]), ys };
}

const data = { loss: 'categoricalCrossentropy', examples: 24, batchSize: 8 } as const;

describe('removeChannels', () => {
  it('removes the filters with the smallest L1 norm, and all that reads them', async () => {
    const model = lenet();
    // Filter 2 of conv1 and unit 5 of fc1 are made the smallest.
    for (const [i, unit] of [
      [0, 2],
      [6, 5],
    ] as const) {
      const layer = model.layers[i]!;
      const kernel = layer.weights[0]!.read() as tf.Variable;
      tf.tidy(() => {
        const size = kernel.shape.at(-1)!;
        const ones = Float32Array.from({ length: size }, (_, c) => (c === unit ? 0.001 : 1));
        kernel.assign(tf.mul(kernel, tf.tensor1d(ones)));
      });
    }
    const smaller = await removeChannels(model, { perLayer: { conv1: 0.25, fc1: 0.125 } });
    expect(removalReport(smaller).filter(({ removed }) => removed.length > 0)).toMatchObject([
      { name: 'conv1', removed: [2] },
      { name: 'fc1', removed: [5] },
    ]);
    const zeroed = await withChannelsZeroed(model, { conv1: [2], fc1: [5] });
    expectSameOutputs(smaller, zeroed, examples().xs);
    // conv1 3x3x2x3+3, norm 4x3, conv2 3x3x3x6+6, fc1 24x7+7, fc2 7x3+3
    expect(smaller.countParams()).toBe(57 + 12 + 168 + 175 + 24);
    expectSameOutputs(smaller, await savedAndLoaded(smaller), examples().xs);
    expect(summarize(smaller).total.macs).toBeLessThan(summarize(model).total.macs);
  });

  it('reports what cannot go, and keeps what is ignored', async () => {
    const smaller = await removeChannels(lenet(), { ratio: 0.5, ignore: ['conv2'] });
    const report = removalReport(smaller);
    const of = (name: string) => report.find((group) => group.name === name)!;
    expect(of('conv1').removed).toHaveLength(2);
    expect(of('conv2')).toMatchObject({ removed: [], fixed: 'ignored' });
    expect(of('fc2').fixed).toMatch(/output of the model/);
  });

  it('competes over all groups with scope global', async () => {
    const model = lenet();
    const random = { criterion: criteria.magnitude(), ratio: 0.5, scope: 'global' } as const;
    const smaller = await removeChannels(model, { ...random, keepAtLeast: 1 });
    const gone = removalReport(smaller).reduce((sum, { removed }) => sum + removed.length, 0);
    expect(gone).toBeLessThanOrEqual(9); // half of 4 + 6 + 8
    expect(gone).toBeGreaterThan(6);
  });

  it('rounds what stays up to a multiple', async () => {
    const smaller = await removeChannels(lenet(), { ratio: 0.6, roundTo: 4 });
    // Of 4, 6, 8 stay 2, 2, 3; rounded up 4, 4, 4.
    const kept = removalReport(smaller).map(({ size, removed }) => size - removed.length);
    expect(kept.slice(1, 4)).toEqual([4, 4, 4]);
  });

  it('names what is wrong and leaves the model as it was', async () => {
    const model = lenet();
    const before = snapshot(model);
    const failing: [object, new (message: string) => Error, RegExp][] = [
      [{ ratio: 1 }, OptionError, /ratio must be below 1/],
      [{ ratio: -0.1 }, OptionError, /ratio must be a number from 0 to 1/],
      [{ perLayer: { conv1: 1 } }, OptionError, /perLayer\.conv1 must be below 1/],
      [
        { ratio: 0.5, criterion: criteria.movement() },
        OptionError,
        /^removeChannels.*training steps/,
      ],
      [
        { ratio: 0.5, criterion: criteria.taylor(), data: examples() },
        OptionError,
        /^removeChannels: .*taylor looks at gradients of a loss/,
      ],
      [{}, OptionError, /give the option ratio/],
      [{ perLayer: { conv9: 0.5 } }, NoMatchError, /"conv9".*Groups: .*conv1/],
      [{ ratio: 0.5, ignore: [/^x/] }, NoMatchError, /matches no group/],
      [{ ratio: 0.5, ignore: ['conv1', 'conv2', 'fc1'] }, NoMatchError, /can be removed/],
      [{ ratio: 0.5, criterion: criteria.apoz() }, OptionError, /apoz looks at data/],
      [{ ratio: 0.5, compensation: 'mean' }, OptionError, /compensation 'mean' looks at data/],
      [{ ratio: 0.5, compensation: 'x' }, OptionError, /compensation must be one of/],
      [{ ratio: 0.95, scope: 'global' }, UnsupportedError, /would go.*keepAtLeast/s],
      [{ ratio: 0.5, ratoi: 1 }, OptionError, /unknown option "ratoi"/],
    ];
    for (const [options, error, text] of failing) {
      await expect(removeChannels(model, options as never), text.source).rejects.toThrow(error);
      await expect(removeChannels(model, options as never)).rejects.toThrow(text);
    }
    expect(snapshot(model)).toEqual(before);
  });

  it('refuses operations that the graph does not know, unless their groups are ignored', async () => {
    class ThimbleTestMystery extends tfl.layers.Layer {
      static className = 'ThimbleTestMystery';
      override call(inputs: tf.Tensor | tf.Tensor[]) {
        return Array.isArray(inputs) ? inputs[0]! : inputs;
      }
      override computeOutputShape(shape: tfl.Shape) {
        return shape;
      }
    }
    tf.serialization.registerClass(ThimbleTestMystery as never);
    const model = tfl.sequential({
      layers: [
        dense({ name: 'a', units: 4, inputShape: [3] }),
        new ThimbleTestMystery({ name: 'mystery' } as never),
        dense({ name: 'b', units: 4 }),
        dense({ name: 'c', units: 2 }),
      ],
    });
    await expect(removeChannels(model, { ratio: 0.5 })).rejects.toThrow(UnsupportedError);
    await expect(removeChannels(model, { ratio: 0.5 })).rejects.toThrow(/mystery.*ignore/s);
    const unknown = channelGroups(model).filter((group) => group.unknown);
    const smaller = await removeChannels(model, {
      ratio: 0.5,
      ignore: unknown.map(({ name }) => name),
    });
    expect(removalReport(smaller).find(({ name }) => name === 'b')!.removed).toHaveLength(2);
  });

  it('leaves no tensor behind', async () => {
    const model = lenet();
    const examplesOnce = examples();
    await expectNoLeaks(async () => {
      for (const compensation of ['none', 'mean', 'scale', 'leastSquares'] as const) {
        const options = { ...data, data: examplesOnce, compensation, ratio: 0.5 };
        const smaller = await removeChannels(model, { ...options, criterion: criteria.taylor() });
        smaller.dispose();
      }
    });
  });
});

describe('every channel criterion', () => {
  const all = {
    apoz: criteria.apoz(),
    meanActivation: criteria.meanActivation(),
    taylor: criteria.taylor(),
    lda: criteria.lda(),
    informationGain: criteria.informationGain(),
    thinet: criteria.thinet(),
    lasso: criteria.lasso(),
    nisp: criteria.nisp(),
    geometricMedian: criteria.geometricMedian(),
  };
  it.each(Object.entries(all))('%s removes half, and masks half', async (_, criterion) => {
    const options = { ...data, data: examples(), criterion };
    const smaller = await removeChannels(lenet(), { ...options, ratio: 0.5 });
    expect(removalReport(smaller).map(({ removed }) => removed.length)).toEqual([0, 2, 3, 4, 0]);
    const model = lenet();
    const { weights } = await prune(model, { ...options, granularity: 'filter', sparsity: 0.5 });
    for (const { name, kept, total } of weights) expect(kept / total, name).toBe(0.5);
  });

  it('batch norm scale removes the channels with the smallest |gamma|', async () => {
    const model = lenet();
    const gamma = model.layers[1]!.weights[0]!.read() as tf.Variable;
    gamma.assign(tf.tensor1d([0.5, -0.1, 0.9, 0.2]));
    const options = { criterion: criteria.batchNormScale(), perLayer: { conv1: 0.5 } };
    const smaller = await removeChannels(model, { ...options, ignore: ['conv2', 'fc1'] });
    expect(removalReport(smaller).find(({ name }) => name === 'conv1')!.removed).toEqual([1, 3]);
  });
});

describe('compensation', () => {
  let model: tfl.Sequential;
  beforeAll(async () => {
    model = lenet(3);
    const training = { loss: data.loss, epochs: 20, batchSize: 8, progress: false } as const;
    await fit(model, examples(), training);
  });

  /** Mean square difference of the outputs. */
  async function distance(compensation: 'none' | 'mean' | 'scale' | 'leastSquares') {
    const { xs } = examples();
    const smaller = await removeChannels(model, {
      ...data,
      data: examples(),
      compensation,
      criterion: criteria.random(),
      perLayer: { conv2: 0.5 },
      seed: 4,
    });
    return tf.tidy(() => {
      const logits = (of: tfl.LayersModel) => tf.log(of.predict(xs) as tf.Tensor);
      return tf.mean(tf.square(tf.sub(logits(model), logits(smaller)))).dataSync()[0]!;
    });
  }

  it('brings the outputs nearer to what they were', async () => {
    const none = await distance('none');
    expect(await distance('mean')).toBeLessThan(none);
    expect(await distance('scale')).toBeLessThan(none);
    expect(await distance('leastSquares')).toBeLessThan(none / 2);
  });

  it('by the mean is exact for a channel that is constant', async () => {
    // Unit 1 of the first layer gives relu(0 x + 0.5) = 0.5 whatever comes in.
    const constant = tfl.sequential({
      layers: [
        dense({
          name: 'a',
          units: 2,
          activation: 'relu',
          inputShape: [2],
          weights: [
            tf.tensor2d([
              [1, 0],
              [2, 0],
            ]),
            tf.tensor1d([0.1, 0.5]),
          ],
        }),
        dense({ name: 'b', units: 1, weights: [tf.tensor2d([[3], [4]]), tf.tensor1d([0.25])] }),
      ],
    });
    const xs = tf.tensor2d([
      [1, 2],
      [-3, 0.5],
      [0, 0],
    ]);
    const smaller = await removeChannels(constant, {
      data: { xs, ys: tf.zeros([3, 1]) },
      compensation: 'mean',
      criterion: criteria.magnitude({ norm: 'l1' }),
      ratio: 0.5,
    });
    expect(smaller.layers[1]!.getWeights()[1]!).toBeAllClose([0.25 + 4 * 0.5]);
    expectSameOutputs(smaller, constant, xs);
  });
});

describe('compensation of a layer that reads two groups', () => {
  // a gives x and 3 x + shift, b gives y + 1 and 2 y + 2; o adds all of them up, and 0.5.
  const make = (shift: number) => {
    const inputs = [tfl.input({ shape: [1] }), tfl.input({ shape: [1] })];
    const unit = (name: string, kernel: number[], bias: number[], from: tfl.SymbolicTensor) =>
      dense({ name, units: 2, weights: [tf.tensor2d([kernel]), tf.tensor1d(bias)] }).apply(
        from,
      ) as tfl.SymbolicTensor;
    const both = tfl.layers
      .concatenate()
      .apply([
        unit('a', [1, 3], [0, shift], inputs[0]!),
        unit('b', [1, 2], [1, 2], inputs[1]!),
      ]) as tfl.SymbolicTensor;
    const o = dense({ name: 'o', units: 1, weights: [tf.ones([4, 1]), tf.tensor1d([0.5])] });
    return tfl.model({ inputs, outputs: o.apply(both) as tfl.SymbolicTensor });
  };
  const xs = [tf.tensor2d([[1], [-2], [3], [2]]), tf.tensor2d([[2], [1], [-1], [4]])];
  const compensated = async (compensation: Compensation, shift = 0) => {
    const data = { xs, ys: tf.zeros([4, 1]) };
    const smaller = await removeChannels(make(shift), { ratio: 0.5, compensation, data });
    return smaller.getLayer('o').getWeights();
  };

  it('by the mean fills in what is missing of both', async () => {
    const [kernel, bias] = await compensated('mean');
    expect(kernel!).toBeAllClose([1, 1]);
    // The means of x and y + 1 are 1 and 2.5.
    expect(bias!).toBeAllClose([0.5 + 1 + 2.5]);
  });

  it('by scale makes up for each by what is left of it', async () => {
    const [kernel, bias] = await compensated('scale');
    expect(kernel!).toBeAllClose([4 / 3, 3 / 2], 5e-3);
    expect(bias!).toBeAllClose([0.5]);
  });

  it('by least squares fits kernel and bias once', async () => {
    // x is (3 x + 0.3) / 3 - 0.1.
    const [kernel, bias] = await compensated('leastSquares', 0.3);
    expect(kernel!).toBeAllClose([4 / 3, 3 / 2], 2e-2);
    expect(bias!).toBeAllClose([0.5 - 0.1], 4e-2);
  });
});

it('a channel that is partly pruned keeps its score', async () => {
  const make = () =>
    tfl.sequential({
      layers: [
        dense({ name: 'a', units: 2, useBias: false, inputShape: [4], weights: [tf.ones([4, 2])] }),
        dense({
          name: 'b',
          units: 2,
          useBias: false,
          weights: [
            tf.tensor2d([
              [2, 2],
              [1, 1],
            ]),
          ],
        }),
      ],
    });
  // NISP scores unit 0 of a twice as high as unit 1. Three quarters of unit 0 are masked already.
  const model = make();
  await prune(model, { targets: 'a', granularity: 'element', sparsity: 0 });
  setMask(model.layers[0]!, [0, 1, 0, 1, 0, 1, 1, 1]);
  const options = { criterion: criteria.nisp(), granularity: 'neuron', targets: 'a' } as const;
  await prune(model, { ...options, sparsity: 0.5 });
  const [weight] = maskedWeights(model);
  expect(Array.from(weight!.mask.dataSync())).toEqual([0, 0, 0, 0, 0, 0, 1, 0]);
});
