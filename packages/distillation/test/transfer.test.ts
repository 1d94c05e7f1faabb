// Transfer learning: features, new heads, staged unfreezing.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError, UnsupportedError, withSeed } from '@thimble/base';
import { fit } from '@thimble/core';
import { featureExtractor, stagedUnfreezing, transferModel } from '@thimble/distillation';
import { classifier, snapshot, threeClasses, useCpu } from '@thimble/testing';
import { describe, expect, test } from 'vitest';

useCpu();

const options = {
  loss: 'categoricalCrossentropyFromLogits',
  optimizer: 'adam',
  batchSize: 12,
  progress: false,
} as const;
const data = () => threeClasses(6, 4);

function deep(): tfl.Sequential {
  return withSeed(1, () =>
    tfl.sequential({
      layers: [
        tfl.layers.dense({ name: 'low', units: 4, activation: 'tanh', inputShape: [6] }),
        tfl.layers.batchNormalization({ name: 'norm' }),
        tfl.layers.dense({ name: 'high', units: 4, activation: 'tanh' }),
        tfl.layers.dense({ name: 'top', units: 3 }),
      ],
    }),
  );
}

/** Names of the layers of which a weight has changed. */
function changed(from: Record<string, number[]>, to: Record<string, number[]>): string[] {
  const names = Object.keys(from).filter((name) => `${from[name]}` !== `${to[name]}`);
  return [...new Set(names.map((name) => name.split('/')[0]!))].sort();
}

describe('featureExtractor', () => {
  test('gives what the layer gives, of the very same weights', () => {
    const model = deep();
    const features = featureExtractor(model, 'low');
    const { xs } = data();
    const [kernel, bias] = model.getLayer('low').getWeights();
    const expected = tf.tanh(tf.add(tf.matMul(xs, kernel as tf.Tensor2D), bias!));
    expect(features.predict(xs) as tf.Tensor).toBeAllClose(expected, 1e-6);
    expect(features.getLayer('low')).toBe(model.getLayer('low'));
    expect(() => featureExtractor(model, 'lowest')).toThrow(NoMatchError);
    expect(() => featureExtractor(model, 'lowest')).toThrow(/low, norm, high, top/);
  });
});

describe('transferModel', () => {
  const head = () => [tfl.layers.dense({ name: 'new', units: 3 })];

  test('a frozen copy below, a new head above; the given model stays', async () => {
    const model = deep();
    const own = snapshot(model);
    const made = transferModel(model, { after: 'norm', head: head() });
    expect(made.layers.filter(({ weights }) => weights.length > 0).map(({ name }) => name)).toEqual(
      ['low', 'norm', 'new'],
    );
    const before = snapshot(made);
    expect(before['low/kernel']).toEqual(own['low/kernel']);
    await fit(made, data(), { ...options, callbacks: [stagedUnfreezing({ stages: ['new'] })] });
    expect(changed(before, snapshot(made))).toEqual(['new']);
    expect(snapshot(model)).toEqual(own);
  });

  test('trainable: all of it learns', async () => {
    const made = transferModel(deep(), { after: 'norm', head: head(), trainable: true });
    const before = snapshot(made);
    await fit(made, data(), options);
    expect(changed(before, snapshot(made))).toEqual(['low', 'new', 'norm']);
  });

  test('leaves nothing behind but its own weights', () => {
    const model = deep();
    const before = tf.memory().numTensors;
    const made = transferModel(model, { after: 'norm', head: head() });
    // low 2, norm 4, new 2
    expect(tf.memory().numTensors).toBe(before + 8);
    made.dispose();
  });

  test('refuses an empty head and an unknown layer', () => {
    expect(() => transferModel(deep(), { after: 'norm', head: [] })).toThrow(OptionError);
    expect(() => transferModel(deep(), { after: 'nor', head: head() })).toThrow(/no layer "nor"/);
  });
});

describe('stagedUnfreezing', () => {
  async function movedPerEpoch(callback = stagedUnfreezing(), epochs = 4) {
    const model = deep();
    const moved: string[][] = [];
    let before = snapshot(model);
    const look = {
      onEpochEnd() {
        const now = snapshot(model);
        moved.push(changed(before, now));
        before = now;
      },
    };
    await fit(model, data(), { ...options, epochs, callbacks: [callback, look] });
    return { model, moved };
  }

  test('one layer more at each stage, from the top; statistics of frozen layers stay', async () => {
    const { model, moved } = await movedPerEpoch();
    expect(moved).toEqual([
      ['top'],
      ['high', 'top'],
      ['high', 'norm', 'top'],
      ['high', 'low', 'norm', 'top'],
    ]);
    expect(model.layers.every(({ trainable }) => trainable)).toBe(true);
  });

  test('a wrapper and a layer with stacked cells are free with all that is inside them', async () => {
    const { bidirectional, dense, gruCell, lstm, reshape, rnn } = tfl.layers;
    const cell = [gruCell({ units: 2 }), gruCell({ units: 3 })] as never;
    const model = tfl.sequential({
      layers: [
        reshape({ targetShape: [3, 2], inputShape: [6] }),
        rnn({ name: 'stack', cell, returnSequences: true }),
        bidirectional({ name: 'both', layer: lstm({ units: 2 }) as tfl.RNN, mergeMode: 'concat' }),
        dense({ name: 'top', units: 3 }),
      ],
    });
    const weights = (name: string) => model.getLayer(name).getWeights();
    const values = () =>
      ['stack', 'both', 'top'].map((name) => weights(name).map((w) => [...w.dataSync()]));
    const moved: boolean[][] = [];
    let before = values();
    const look = {
      onEpochEnd() {
        const now = values();
        moved.push(now.map((each, i) => JSON.stringify(each) !== JSON.stringify(before[i])));
        before = now;
      },
    };
    const callback = stagedUnfreezing({ stages: ['top', 'both', 'stack'] });
    await fit(model, data(), { ...options, epochs: 3, callbacks: [callback, look] });
    expect(moved).toEqual([
      [false, false, true],
      [false, true, true],
      [true, true, true],
    ]);
  });

  test('stages by name, every second epoch; what no stage names stays frozen', async () => {
    const { moved } = await movedPerEpoch(
      stagedUnfreezing({ every: 2, stages: ['top', ['high', /^low/]] }),
      3,
    );
    expect(moved).toEqual([['top'], ['top'], ['high', 'low', 'top']]);
  });

  test('layers are as trainable as before, also after a failure', async () => {
    const model = deep();
    model.getLayer('low').trainable = false;
    const before = model.layers.map(({ trainable }) => trainable);
    const fails = {
      onBatchEnd() {
        throw new Error('no');
      },
    };
    const training = fit(model, data(), { ...options, callbacks: [stagedUnfreezing(), fails] });
    await expect(training).rejects.toThrow('no');
    expect(model.layers.map(({ trainable }) => trainable)).toEqual(before);
  });

  test('layers inside nested models have their stages', async () => {
    const inner = deep();
    const model = tfl.sequential({ layers: [inner, tfl.layers.dense({ name: 'last', units: 3 })] });
    const before = snapshot(model);
    await fit(model, data(), { ...options, epochs: 2, callbacks: [stagedUnfreezing()] });
    expect(changed(before, snapshot(model))).toEqual(['last', 'top']);
  });

  test('refuses targets without a match and bad options', async () => {
    const callback = stagedUnfreezing({ stages: ['topp'] });
    const training = fit(classifier(), data(), { ...options, callbacks: [callback] });
    await expect(training).rejects.toThrow(/"topp" matches no layer.*hidden, logits/);
    expect(() => stagedUnfreezing({ every: 0 })).toThrow(/every/);
    expect(() => stagedUnfreezing({ stages: [] })).toThrow(OptionError);
    const model = classifier();
    model.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
    const { xs, ys } = data();
    const stock = { callbacks: [stagedUnfreezing()], verbose: 0 } as unknown as tfl.ModelFitArgs;
    await expect(model.fit(xs, ys, stock)).rejects.toThrow(UnsupportedError);
  });
});
