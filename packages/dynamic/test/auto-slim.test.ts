import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError } from '@thimble/base';
import { evaluate, summarize } from '@thimble/core';
import {
  type AutoSlimOptions,
  autoSlim,
  extractWidth,
  setWidth,
  slimmableDense,
  type Widths,
  widthOf,
} from '@thimble/dynamic';
import { classifier, expectNoLeaks, outputs, useCpu } from '@thimble/testing';
import { beforeAll, describe, expect, it } from 'vitest';
import { convolutional, examples, residual } from './slimmable-models.ts';

useCpu();

/** The sum of four inputs, of which the second layer needs all and the first needs a single unit. */
function sum(widths: Widths = { min: 0.25 }): tfl.Sequential {
  const dense = (units: number, rows: number[][], more: object = {}) =>
    slimmableDense({ units, widths, useBias: false, weights: [tf.tensor2d(rows)], ...more });
  return tfl.sequential({
    layers: [
      // Unit 0 is the sum, the others are nothing.
      dense(
        4,
        [1, 1, 1, 1].map((one) => [one, 0, 0, 0]),
        { inputShape: [4], name: 'idle' },
      ),
      // A quarter of the sum in each unit.
      dense(
        4,
        [1, 0, 0, 0].map((one) => [one / 4, one / 4, one / 4, one / 4]),
        { name: 'busy' },
      ),
      dense(1, [[1], [1], [1], [1]], { name: 'out' }),
    ],
  });
}

let data: { xs: tf.Tensor; ys: tf.Tensor };
beforeAll(() => {
  const xs = tf.randomNormal([20, 4], 0, 1, 'float32', 2);
  data = { xs, ys: tf.sum(xs, 1, true) };
});
const options = (
  macs: number | number[],
  more: Partial<AutoSlimOptions> = {},
): AutoSlimOptions => ({
  macs,
  data,
  validationData: data,
  loss: 'meanSquaredError',
  parts: 4,
  progress: false,
  ...more,
});

describe('autoSlim', () => {
  it('takes channels where they are not needed', async () => {
    const model = sum();
    expect(summarize(model).total.macs).toBe(16 + 16 + 4);
    // Each unit of `idle` that goes saves 8, of `busy` up to 5.
    const [a, b, c, d] = await autoSlim(model, options([28, 36, 12, 8]));
    expect(a!.channels).toEqual({ idle: 3, busy: 4 });
    expect([a!.macs, a!.loss]).toBeAllClose([28, 0]);
    expect(b!.channels).toEqual({ idle: 4, busy: 4 });
    expect(c!.channels).toEqual({ idle: 1, busy: 4 });
    expect([c!.macs, c!.loss]).toBeAllClose([12, 0]);
    expect(d!.channels).toEqual({ idle: 1, busy: 2 });
    const half = await evaluate(d!.model, data, { loss: 'meanSquaredError', progress: false });
    const squares = tf.mean(tf.square(tf.mul(data.ys, 0.5))).dataSync()[0]!;
    expect([half.loss, d!.loss]).toBeAllClose([squares, squares]);
    expect(d!.model.layers.map((layer) => layer.getClassName())).toEqual([
      'Dense',
      'Dense',
      'Dense',
    ]);
    expect(widthOf(model)).toBe(1);
    expect(d!.widths).toEqual({ idle: 0.25, busy: 0.5 });
    const again = await extractWidth(model, d!.widths);
    expect(outputs(again, data.xs)).toEqual(outputs(d!.model, data.xs));
    expect(widthOf(model)).toBe(1);
  });

  it('extracts widths by the names of layers', async () => {
    const plain = await extractWidth(sum(), { busy: 0.5 });
    expect(plain.layers.map((layer) => (layer as unknown as { units: number }).units)).toEqual([
      4, 2, 1,
    ]);
    expect(() => extractWidth(sum(), { out: 0.5 })).toThrow(NoMatchError);
    expect(() => extractWidth(sum(), { out: 0.5 })).toThrow('These are: idle, busy.');
    expect(() => extractWidth(sum(), { idle: 0.1 })).toThrow(OptionError);
    const added = residual({ min: 0.5 });
    expect(() => extractWidth(added, { stem: 0.5, branch: 0.75 })).toThrow('give both the same');
    const half = await extractWidth(added, { branch: 0.5 });
    expect((half.getLayer('stem') as unknown as { filters: number }).filters).toBe(4);
  });

  it('moves within lists of widths, and keeps the present width', async () => {
    const model = sum([0.5, 1]);
    setWidth(model, 0.5);
    const [small] = await autoSlim(model, options(20));
    expect(small!.channels).toEqual({ idle: 2, busy: 4 });
    expect(widthOf(model)).toBe(0.5);
    expect(summarize(model).total.macs).toBe(8 + 4 + 2);
  });

  it('narrows layers that are added together, and recalibrates', async () => {
    const xs = tf.randomNormal([8, 6, 6, 1], 0, 1, 'float32', 4);
    const both = { xs, ys: tf.ones([8, 4]) };
    const [small] = await autoSlim(
      residual({ min: 0.5 }),
      options(12_000, { data: both, validationData: both }),
    );
    expect(small!.channels.stem).toBe(small!.channels.branch);
    expect(small!.macs).toBeLessThanOrEqual(12_000);
    const digits = examples(6);
    const model = convolutional({ min: 0.5 });
    const more = { data: digits, validationData: digits, loss: 'categoricalCrossentropy' };
    const [normalised] = await autoSlim(model, options(9000, more));
    const statistics = normalised!.model.getLayer('norm1').getWeights()[2]!.dataSync();
    expect(statistics.some((mean) => mean === 0)).toBe(false);
  });

  it('leaks nothing but its models', async () => {
    const model = sum();
    await expectNoLeaks(async () => {
      for (const { model: made } of await autoSlim(model, options([30, 29, 12]))) made.dispose();
    });
    await expectNoLeaks(async () => {
      const controller = new AbortController();
      const progress = () => controller.abort();
      const stopped = autoSlim(model, options(8, { progress, signal: controller.signal }));
      await expect(stopped).rejects.toThrow(/abort/i);
    });
  });

  it('says what is wrong', async () => {
    await expect(autoSlim(sum(), options(2))).rejects.toThrow('the narrowest network takes 6');
    await expect(autoSlim(sum(), options(-1))).rejects.toThrow(OptionError);
    await expect(autoSlim(sum(), options([]))).rejects.toThrow(OptionError);
    await expect(autoSlim(sum(), options(9, { parts: 1 }))).rejects.toThrow(OptionError);
    const { loss, ...without } = options(9);
    await expect(autoSlim(sum(), without)).rejects.toThrow('no loss');
    await expect(autoSlim(classifier(), options(9))).rejects.toThrow(NoMatchError);
    expect(loss).toBeDefined();
  });
});
