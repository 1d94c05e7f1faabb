import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { OptionError, UnsupportedError } from '@thimble/base';
import { copyModel, schedules, type TrainingProgress } from '@thimble/core';
import {
  type FromScratchOptions,
  fromScratch,
  maskedWeights,
  prune,
  setMask,
} from '@thimble/pruning';
import { expectNoLeaks, snapshot, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { blobs, INPUTS, maskOf, network, storedOf, TRAINING } from './masks.ts';

useCpu();

const { layers } = tfl;

/** 6-units-3: units * (6 + 3) multiply-accumulates; the shared network has 8 units. */
const narrow = (units: number) =>
  tfl.sequential({
    layers: [layers.dense({ units, inputShape: [INPUTS] }), layers.dense({ units: 3 })],
  });

const run = (model: tfl.LayersModel, options: Partial<FromScratchOptions>) =>
  fromScratch(model, blobs(), { ...TRAINING, budget: 'B', epochs: 3, ...options });

describe('epochs', () => {
  it.each<[string, number, () => Partial<FromScratchOptions>, number]>([
    // 72 multiply-accumulates in full.
    ['E: as many', 4, () => ({ budget: 'E' }), 3],
    ['B: twice as many for half of the units', 4, () => ({ full: network() }), 6],
    ['B: of a network that is not smaller, as many', 8, () => ({ full: network() }), 3],
    ['B: by a number', 4, () => ({ full: 360 }), 30],
    ['B: rounded, 3 * 72 / 63 = 3.43', 7, () => ({ full: network() }), 3],
    ['B: rounded, 3 * 72 / 54 = 4', 6, () => ({ full: network() }), 4],
    ['B: rounded, 3 * 72 / 45 = 4.8', 5, () => ({ full: network() }), 5],
    ['B: no more than a limit', 2, () => ({ full: network(), maxFactor: 2 }), 6],
    ['B: below a limit', 4, () => ({ full: network(), maxFactor: 2.5 }), 6],
  ])('%s', async (_name, units, options, expected) => {
    const { epochs, history } = await run(narrow(units), options());
    expect(epochs).toBe(expected);
    expect(history.epochs).toBe(expected);
    expect(history.logs.loss).toHaveLength(expected);
  });

  it('count the entries of masked kernels that are kept, layer by layer', async () => {
    const model = network();
    await prune(model, {
      granularity: 'element',
      sparsity: 0.75,
      perLayer: { output: 0.5 },
    });
    // 48 / 4 + 24 / 2 = 24 of 72.
    expect((await run(model, { full: network() })).epochs).toBe(9);
    // A masked network as the full one counts what it keeps, too.
    const half = network();
    await prune(half, { granularity: 'element', sparsity: 0.5 });
    expect((await run(model, { full: half })).epochs).toBe(5); // 3 * 36 / 24 = 4.5
  });

  it('count convolutions by their positions', async () => {
    const model = tfl.sequential({
      layers: [
        layers.conv2d({ name: 'conv', filters: 2, kernelSize: 3, inputShape: [4, 4, 1] }),
        layers.flatten(),
        layers.dense({ name: 'output', units: 3 }),
      ],
    });
    const full = copyModel(model);
    const images = { xs: tf.randomNormal([24, 4, 4, 1], 0, 1, 'float32', 1), ys: blobs().ys };
    await prune(model, { granularity: 'element', sparsity: 0.5, targets: 'conv' });
    // 2 * 9 entries at 4 positions are 72, 8 * 3 are 24: 96 in full, 60 with half of the convolution.
    const options = { ...TRAINING, budget: 'B', full, epochs: 5 } as const;
    expect((await fromScratch(model, images, options)).epochs).toBe(8);
  });
});

describe('the network', () => {
  it('has fresh weights, the masks, and nothing in common with the one that was given', async () => {
    const model = network();
    await prune(model, { granularity: 'element', sparsity: 0.5 });
    const before = snapshot(model);
    let [kernels, masks]: number[][][] = [[], []];
    const watch = {
      setModel(copy: tfl.LayersModel) {
        [kernels, masks] = [maskedWeights(copy).map(storedOf), maskedWeights(copy).map(maskOf)];
      },
      onBatchEnd() {},
    };
    const { model: scratch } = await run(model, { budget: 'E', seed: 9, callbacks: [watch] });
    const fresh = copyModel(network(), { seed: 9 });
    expect(kernels).toEqual(
      fresh.layers.map((layer) => Array.from(layer.getWeights()[0]!.dataSync())),
    );
    expect(masks).toEqual(maskedWeights(model).map(maskOf));
    expect(maskedWeights(scratch).map(maskOf)).toEqual(masks);
    expect(maskedWeights(scratch).map(storedOf)).not.toEqual(kernels);
    expect(snapshot(model)).toEqual(before);
    const [weight] = maskedWeights(model);
    setMask(weight!.weight, new Uint8Array(48).fill(1));
    expect(maskedWeights(scratch).map(maskOf)).toEqual(masks);
  });

  it('is the same for the same seed, and another one for another', async () => {
    const of = async (seed?: number) => {
      const { model } = await run(narrow(4), {
        budget: 'E',
        ...(seed === undefined ? {} : { seed }),
      });
      return Object.values(snapshot(model));
    };
    expect(await of(5)).toEqual(await of(5));
    expect(await of(5)).not.toEqual(await of(6));
  });

  it('leaves no tensor behind, also where training fails', async () => {
    const model = narrow(4);
    const full = network();
    const data = blobs();
    await expectNoLeaks(async () => {
      const options = { ...TRAINING, budget: 'B', full, epochs: 1 } as const;
      (await fromScratch(model, data, options)).model.dispose();
      const failing = fromScratch(model, data, { ...options, loss: 'nonsense' });
      await expect(failing).rejects.toThrow(OptionError);
    });
  });
});

describe('the learning rate', () => {
  it('is stretched: what falls at 50 % and 75 % falls there in the longer run', async () => {
    const optimizer = tf.train.sgd(1);
    const rates: number[] = [];
    const watch = {
      onBatchEnd: () =>
        void rates.push((optimizer as unknown as { learningRate: number }).learningRate),
    };
    const { epochs } = await run(narrow(4), {
      full: network(),
      epochs: 4,
      optimizer,
      learningRate: schedules.multiStep(0.1, { milestones: [2, 3], factors: 0.1 }),
      callbacks: [watch],
    });
    expect(epochs).toBe(8);
    const steps = [
      ...new Array(12).fill(0.1),
      ...new Array(6).fill(0.01),
      ...new Array(6).fill(1e-3),
    ];
    expect(rates).toBeAllClose(steps, 1e-9);
  });

  it('is asked as in a run of so many epochs', async () => {
    const asked: TrainingProgress[] = [];
    const learningRate = (progress: TrainingProgress) => {
      asked.push(progress);
      return 0.1;
    };
    await run(narrow(4), { full: network(), epochs: 2, learningRate });
    // 4 epochs of 3 steps for 2: every step is asked for twice.
    expect(asked.map(({ step }) => step)).toEqual([0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
    expect(asked.map(({ epoch }) => epoch)).toEqual([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1]);
    expect(asked.every(({ epochs, stepsPerEpoch }) => epochs === 2 && stepsPerEpoch === 3)).toBe(
      true,
    );
  });
});

describe('errors', () => {
  const full = 72;
  it.each<[string, object, new () => Error, string]>([
    ['an unknown budget', { budget: 'C' }, OptionError, "budget must be 'E'"],
    ['no full network', {}, OptionError, "budget 'B' needs the option full"],
    ['a full network that is smaller', { full: 12 }, OptionError, 'has 12 multiply-accumulates'],
    ['a full network that is no number', { full: Number.NaN }, OptionError, 'Is full the network'],
    [
      'a limit below 1',
      { full, maxFactor: 0.5 },
      OptionError,
      'maxFactor must be a number at least 1',
    ],
    ['half an epoch', { full, epochs: 0.5 }, OptionError, 'epochs must be a whole number'],
    ['an unknown option', { full, epoch: 3 }, OptionError, 'unknown option "epoch"'],
    ['no loss', { full, loss: undefined }, OptionError, 'no loss'],
  ])('for %s', async (_name, options, type, message) => {
    const training = run(narrow(4), options as Partial<FromScratchOptions>);
    await expect(training).rejects.toThrow(type);
    await expect(training).rejects.toThrow(message);
  });

  it('where the size of the work is not known', async () => {
    const model = tfl.sequential({
      layers: [
        layers.conv1d({ name: 'open', filters: 2, kernelSize: 1, inputShape: [null, 2] }),
        layers.globalAveragePooling1d(),
      ],
    });
    const training = run(model, { full: 1e6 });
    await expect(training).rejects.toThrow(UnsupportedError);
    await expect(training).rejects.toThrow('the multiply-accumulates of open in');
  });
});
