// Width and depth chosen together: early exits on a slimmable network.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { withSeed } from '@thimble/base';
import {
  earlyExits,
  evaluateExits,
  exitCosts,
  extractWidth,
  fitExits,
  predictEarly,
  setWidth,
  slimmableBatchNormalization,
  slimmableConv2d,
  slimmableDense,
  slimmableTraining,
} from '@thimble/dynamic';
import { savedAndLoaded, useCpu } from '@thimble/testing';
import { expect, it } from 'vitest';
import { examples } from './networks.ts';

useCpu();

const WIDTHS = [0.5, 1];

/** 4 and 8 channels in 6 x 6 images, an exit with 6 hidden units after the first convolution. */
function convolutional(): tfl.LayersModel {
  return withSeed(3, () => {
    const conv = (filters: number, more: object = {}) =>
      slimmableConv2d({ filters, kernelSize: 3, padding: 'same', widths: WIDTHS, ...more });
    const trunk = tfl.sequential({
      layers: [
        conv(4, { inputShape: [6, 6, 1] }),
        slimmableBatchNormalization({ widths: WIDTHS }),
        tfl.layers.reLU({ name: 'early' }),
        conv(8),
        tfl.layers.globalAveragePooling2d({}),
        slimmableDense({ units: 3, widths: WIDTHS, activation: 'softmax' }),
      ],
    });
    return earlyExits(trunk, { after: ['early'], head: { hidden: 6 } });
  });
}

it('computes less in both directions', () => {
  const model = convolutional();
  const costs = WIDTHS.map((width) => {
    setWidth(model, width);
    return exitCosts(model).map(({ macs }) => macs);
  });
  // Channels 2 and 4, hidden units 3, on 36 places; all of them at width 1.
  const first = (c: number, hidden: number) => 36 * 9 * c + 36 * c * hidden + hidden * 3;
  const second = (c: number, d: number) => 36 * 9 * c * d + d * 3;
  expect(costs).toEqual([
    [first(2, 3), first(2, 3) + second(2, 4)],
    [first(4, 6), first(4, 6) + second(4, 8)],
  ]);
});

it('is the plain network of each width at every exit, also when it leaves early and after loading', async () => {
  const model = convolutional();
  const x = tf.randomUniform([7, 6, 6, 1], 0, 1, 'float32', 5);
  for (const width of WIDTHS) {
    setWidth(model, width);
    const plain = await extractWidth(model, width);
    const outputs = (m: tfl.LayersModel) =>
      (m.predict(x) as tf.Tensor[]).map((y) => Array.from(y.dataSync()));
    const wanted = outputs(plain);
    for (const each of [model, await savedAndLoaded(model)]) {
      outputs(each).forEach((y, exit) => {
        for (const [i, v] of y.entries()) expect(v).toBeCloseTo(wanted[exit]![i]!, 5);
      });
    }
    const sure = wanted[0]!.filter((_, i) => i % 3 === 0).sort()[3]!;
    const { scores, exits } = await predictEarly(model, x, {
      policy: 'confidence',
      threshold: Math.max(sure, 0.34),
    });
    scores.dataSync().forEach((v, i) => {
      expect(v).toBeCloseTo(wanted[exits[Math.floor(i / 3)]!]![i]!, 5);
    });
  }
});

it('trains every exit at every width', async () => {
  const model = withSeed(6, () => {
    const dense = (units: number, more: object = {}) =>
      slimmableDense({ units, widths: WIDTHS, activation: 'tanh', ...more });
    const trunk = tfl.sequential({
      layers: [
        dense(8, { inputShape: [6], name: 'first' }),
        dense(8),
        dense(3, { activation: 'softmax' }),
      ],
    });
    return earlyExits(trunk, { after: ['first'] });
  });
  const data = examples(90);
  await fitExits(model, data, {
    epochs: 25,
    batchSize: 15,
    optimizer: 'adam',
    learningRate: 0.02,
    seed: 1,
    progress: false,
    callbacks: [slimmableTraining({ sandwich: 0 })],
  });
  for (const width of WIDTHS) {
    setWidth(model, width);
    const { exits } = await evaluateExits(model, data, { progress: false });
    // A third by guessing.
    for (const { accuracy } of exits) expect(accuracy).toBeGreaterThan(0.7);
  }
});
