// Parameter counts of published networks, and what the builders promise.
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { models } from '@thimble/architecture';
import { OptionError } from '@thimble/base';
import { fit, summarize, walkLayers } from '@thimble/core';
import { savedAndLoaded, snapshot, useCpu } from '@thimble/testing';
import { expect, it } from 'vitest';

useCpu();

/** Weights that are trained: the papers' counts leave out the statistics of batch normalisation. */
const trained = (model: tfl.LayersModel) =>
  model.trainableWeights.reduce(
    (sum, { shape }) => sum + shape.reduce((n: number, size) => n * size!, 1),
    0,
  );
const convWithNorm = (from: number, to: number, window = 9) => window * from * to + 2 * to;
const separable = (from: number, to: number) => 9 * from + 2 * from + from * to + 2 * to;
const fire = (from: number, squeeze: number, expand: number) =>
  from * squeeze + squeeze + (squeeze + 9 * squeeze) * expand + 2 * expand;

it('have the parameters of the papers', () => {
  expect(trained(models.lenet300100())).toBe(266_610);
  expect(trained(models.lenet5())).toBe(431_080);
  // He et al., 2016, table 6: 0.27 million; the exact counts of the two shortcuts by hand.
  expect(trained(models.resNet20())).toBe(269_722);
  expect(trained(models.resNet20({ shortcut: 'projection' }))).toBe(272_474);
  expect(trained(models.mobileNet())).toBe(
    convWithNorm(1, 16) +
      separable(16, 32) +
      separable(32, 64) +
      separable(64, 64) +
      separable(64, 128) +
      separable(128, 128) +
      129 * 10,
  );
  expect(trained(models.squeezeNet())).toBe(
    9 * 32 +
      32 +
      fire(32, 8, 32) +
      fire(64, 8, 32) +
      fire(64, 16, 64) +
      fire(128, 16, 64) +
      129 * 10,
  );
});

it('count the multiply-accumulates of ResNet-20: 40.55 million', () => {
  // Stages at 32, 16 and 8 positions a side.
  const conv = (side: number, from: number, to: number) => side * side * 9 * from * to;
  const macs =
    conv(32, 3, 16) +
    6 * conv(32, 16, 16) +
    conv(16, 16, 32) +
    5 * conv(16, 32, 32) +
    conv(8, 32, 64) +
    5 * conv(8, 64, 64) +
    640;
  expect(Math.round(macs / 1e4)).toBe(4055);
  expect(summarize(models.resNet20()).total.macs).toBe(macs);
});

it.each(Object.entries(models))(
  '%s is plain, seeded, saved, and takes other images',
  async (_, make) => {
    const model = make({ seed: 3 });
    expect(walkLayers(model).filter((layer) => layer.getClassName().startsWith('Thimble'))).toEqual(
      [],
    );
    expect(snapshot(make({ seed: 3 }))).toEqual(snapshot(model));
    expect(Object.values(snapshot(make({ seed: 4 })))).not.toEqual(Object.values(snapshot(model)));
    expect(snapshot(await savedAndLoaded(model))).toEqual(snapshot(model));
    const other = make({ inputShape: [20, 24, 2], classes: 4 });
    const scores = tf.tidy(() => other.predict(tf.ones([2, 20, 24, 2])) as tf.Tensor);
    expect(scores.shape).toEqual([2, 4]);
    for (const sum of tf.sum(scores, 1).dataSync()) expect(sum).toBeCloseTo(1, 5);
  },
);

it('halve their channels, and their weights but a little', () => {
  for (const make of [models.mobileNet, models.squeezeNet, models.resNet20]) {
    const ratio = trained(make({ widthMultiplier: 0.5 })) / trained(make());
    expect(ratio).toBeGreaterThan(0.24);
    expect(ratio).toBeLessThan(0.34);
  }
});

it('train', async () => {
  const model = models.mobileNet({ inputShape: [8, 8, 1], classes: 2, widthMultiplier: 0.25 });
  const xs = tf.concat([tf.fill([8, 8, 8, 1], -1), tf.ones([8, 8, 8, 1])]);
  const ys = tf.concat([
    tf.tile(tf.tensor2d([[1, 0]]), [8, 1]),
    tf.tile(tf.tensor2d([[0, 1]]), [8, 1]),
  ]);
  const { logs } = await fit(
    model,
    { xs, ys },
    {
      ...{
        epochs: 8,
        batchSize: 8,
        loss: 'categoricalCrossentropy',
        learningRate: 1e-2,
        progress: false,
      },
    },
  );
  expect(logs.loss!.at(-1)!).toBeLessThan(0.5 * logs.loss![0]!);
});

it('refuse what makes no sense', () => {
  expect(() => models.lenet5({ width: 2 } as object)).toThrow(OptionError);
  expect(() => models.lenet5({ classes: 1 })).toThrow(/classes must be/);
  expect(() => models.mobileNet({ inputShape: [28, 28] as never })).toThrow(/inputShape must be/);
  expect(() => models.resNet20({ shortcut: 'none' as never })).toThrow(/shortcut must be/);
});
