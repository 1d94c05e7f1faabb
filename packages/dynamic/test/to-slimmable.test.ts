import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError, UnsupportedError, withSeed } from '@thimble/base';
import { fit, summarize } from '@thimble/core';
import {
  setWidth,
  slimmableDense,
  slimmableTraining,
  toSlimmable,
  widthOf,
  widthsOf,
} from '@thimble/dynamic';
import { savedAndLoaded, threeClasses, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { inputs } from './slimmable-models.ts';

useCpu();

const { batchNormalization, conv2d, dense, depthwiseConv2d, flatten, layerNormalization, reLU } =
  tfl.layers;
const random = { biasInitializer: 'randomNormal' } as const;
const statistics = {
  betaInitializer: 'randomNormal',
  gammaInitializer: 'randomUniform',
  movingMeanInitializer: 'randomNormal',
  movingVarianceInitializer: 'ones',
} as const;

/** Normalised before the first convolution, after it, and at the output. */
function plain(): tfl.Sequential {
  return withSeed(6, () =>
    tfl.sequential({
      layers: [
        batchNormalization({ name: 'first', inputShape: [6, 6, 2], ...statistics }),
        conv2d({ name: 'conv', filters: 4, kernelSize: 3, ...random }),
        batchNormalization({ name: 'norm', epsilon: 0.01, ...statistics }),
        reLU(),
        depthwiseConv2d({ name: 'depthwise', kernelSize: 2, ...random }),
        flatten(),
        dense({ name: 'fc', units: 6, activation: 'tanh', ...random }),
        dense({ name: 'out', units: 3, ...random }),
        batchNormalization({ name: 'last', ...statistics }),
      ],
    }),
  );
}

const outputOf = (model: tfl.LayersModel, x: tf.Tensor) =>
  Array.from(tf.tidy(() => (model.predict(x) as tf.Tensor).dataSync()));

/** The plain network with the first channels of every layer, put together by hand. */
function firstHalf(whole: tfl.Sequential): tfl.Sequential {
  const half = tfl.sequential({
    layers: [
      batchNormalization({ inputShape: [6, 6, 2] }),
      conv2d({ filters: 2, kernelSize: 3 }),
      batchNormalization({ epsilon: 0.01 }),
      reLU(),
      depthwiseConv2d({ kernelSize: 2 }),
      flatten(),
      dense({ units: 3, activation: 'tanh' }),
      dense({ units: 3 }),
      batchNormalization({}),
    ],
  });
  const names = ['first', 'conv', 'norm', 'depthwise', 'fc', 'out', 'last'];
  const targets = half.layers.filter(({ weights }) => weights.length > 0);
  for (const [i, name] of names.entries()) {
    const weights = whole.getLayer(name).getWeights();
    targets[i]!.setWeights(
      targets[i]!.getWeights().map(({ shape }, j) => {
        const weight = weights[j]!;
        if (name !== 'fc' || j > 0)
          return tf.slice(
            weight,
            shape.map(() => 0),
            shape,
          );
        // 3 x 3 places with 4 channels each, of which the first 2 are left.
        const places = tf.reshape(weight, [9, 4, 6]);
        return tf.reshape(tf.slice(places, [0, 0, 0], [9, 2, 3]), shape);
      }),
    );
  }
  return half;
}

describe('a plain network made slimmable', () => {
  it('is the same at width 1, and the first channels of it at a smaller one', async () => {
    const whole = plain();
    const x = inputs(whole);
    const expected = outputOf(whole, x);
    const model = await toSlimmable(whole, { widths: [1, 0.5] });
    expect(widthsOf(model)).toEqual([0.5, 1]);
    expect(widthOf(model)).toBe(1);
    expect(outputOf(model, x)).toBeAllClose(expected, 1e-6);
    const half = outputOf(firstHalf(whole), x);
    setWidth(model, 0.5);
    expect(outputOf(model, x)).toBeAllClose(half, 1e-5);
    const loaded = await savedAndLoaded(model);
    expect(outputOf(loaded, x)).toEqual(outputOf(model, x));
    expect(outputOf(whole, x)).toEqual(expected);
    // Of the layers there are the same, but for the weights that 'norm' has for its second width.
    expect(model.countParams()).toBe(whole.countParams() + 4 * 2);
    for (const { name } of whole.layers) expect(model.getLayer(name).name).toBe(name);
  });

  it('takes a range of widths', async () => {
    const model = await toSlimmable(withoutNorm(), { widths: { min: 0.25 } });
    setWidth(model, 0.3);
    // round(0.3 * 8) = 2 hidden units.
    expect(summarize(model).total.macs).toBe(6 * 2 + 2 * 3);
  });

  const withoutNorm = () =>
    withSeed(2, () =>
      tfl.sequential({
        layers: [
          dense({ name: 'a', units: 8, activation: 'tanh', inputShape: [6] }),
          dense({ name: 'b', units: 3, activation: 'softmax' }),
        ],
      }),
    );

  it('learns at all of its widths', async () => {
    const data = threeClasses(6, 5);
    const model = await toSlimmable(withoutNorm(), { widths: [0.5, 1] });
    await fit(model, data, {
      epochs: 30,
      batchSize: 8,
      optimizer: 'adam',
      learningRate: 0.03,
      loss: 'categoricalCrossentropy',
      callbacks: [slimmableTraining()],
      seed: 1,
      progress: false,
    });
    const right = tf.tidy(() => {
      setWidth(model, 0.5);
      const found = tf.argMax(model.predict(data.xs) as tf.Tensor, -1);
      return tf.mean(tf.cast(tf.equal(found, tf.argMax(data.ys, -1)), 'float32')).dataSync()[0]!;
    });
    expect(right).toBeGreaterThan(0.8);
  });

  it('leaves nothing behind', async () => {
    const whole = plain();
    const make = async () => (await toSlimmable(whole, { widths: [0.25, 0.5, 1] })).dispose();
    await make();
    const { numTensors } = tf.memory();
    await make();
    expect(tf.memory().numTensors).toBe(numTensors);
  });
});

describe('refuses', () => {
  const widths = [0.5, 1];
  it('widths that are none', async () => {
    await expect(toSlimmable(plain(), { widths: [0.5] })).rejects.toThrow(OptionError);
    await expect(toSlimmable(plain(), { width: 0.5 } as never)).rejects.toThrow(
      'unknown option "width"',
    );
  });

  it('a network without anything to narrow', async () => {
    const model = tfl.sequential({ layers: [flatten({ inputShape: [2, 2] })] });
    await expect(toSlimmable(model, { widths })).rejects.toThrow(NoMatchError);
  });

  it('a layer between others that needs all of its channels, and leaves nothing behind', async () => {
    const model = tfl.sequential({
      layers: [
        dense({ units: 4, inputShape: [3] }),
        layerNormalization({ name: 'each' }),
        dense({ units: 2 }),
      ],
    });
    const { numTensors } = tf.memory();
    await expect(toSlimmable(model, { widths })).rejects.toThrow(UnsupportedError);
    await expect(toSlimmable(model, { widths })).rejects.toThrow('"each"');
    expect(tf.memory().numTensors).toBe(numTensors);
  });
});

it('a plain network has no widths', () => {
  expect(widthsOf(plain())).toBeUndefined();
  const { layers } = tfl.sequential({
    layers: [slimmableDense({ units: 2, widths: { min: 0.5 }, inputShape: [3] })],
  });
  expect(widthsOf(tfl.sequential({ layers }))).toEqual({ min: 0.5 });
});
