import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError, ShapeError } from '@thimble/base';
import { recalibrateBatchNorm } from '@thimble/core';
import { expectNoLeaks, useCpu } from '@thimble/testing';
import { expect, it } from 'vitest';

useCpu();

/** Two features, each doubled, normalised, and added up. */
function model(): tfl.Sequential {
  return tfl.sequential({
    layers: [
      tfl.layers.dense({
        units: 2,
        useBias: false,
        inputShape: [2],
        weights: [
          tf.tensor2d([
            [2, 0],
            [0, 2],
          ]),
        ],
      }),
      tfl.layers.batchNormalization({ momentum: 0.9, epsilon: 0 }),
      tfl.layers.dense({ units: 1, useBias: false, weights: [tf.tensor2d([[1], [1]])] }),
      tfl.layers.batchNormalization({}),
    ],
  });
}

const moving = (of: tfl.Sequential, layer: number) =>
  of.layers[layer]!.getWeights()
    .slice(2)
    .map((tensor) => [...tensor.dataSync()]);

/** Inputs 0, 2 | 4, 8 | 5: batches of two, and one of one. */
const xs = tf.tensor2d([
  [0, 1],
  [2, 1],
  [4, 0],
  [8, 2],
  [5, 5],
]);
const data = { xs, ys: tf.zeros([5, 1]) };

it('takes the mean over the batches of their means and variances, by their size', async () => {
  const net = model();
  await recalibrateBatchNorm(net, data, { batchSize: 2, progress: false });
  // Doubled, the batches of the first feature have means 2, 12, 10 and variances 4, 16, 0; of the second
  // means 2, 2, 10 and variances 0, 4, 0. The last batch is half as heavy.
  const [mean, variance] = moving(net, 1);
  expect(mean).toBeAllClose([(2 * 2 + 2 * 12 + 10) / 5, (2 * 2 + 2 * 2 + 10) / 5]);
  expect(variance).toBeAllClose([(2 * 4 + 2 * 16) / 5, (2 * 4) / 5]);
});

it('gives later layers what the earlier ones make of the batch', async () => {
  const net = model();
  const two = {
    xs: tf.tensor2d([
      [0, 1],
      [2, 3],
    ]),
    ys: tf.zeros([2, 1]),
  };
  await recalibrateBatchNorm(net, two, { progress: false });
  // Normalised by the batch both features are -1 and 1, so the sums are -2 and 2.
  const [mean, variance] = moving(net, 3);
  expect(mean).toBeAllClose([0]);
  expect(variance).toBeAllClose([4]);
});

it('counts every application of a layer, shared or once per step', async () => {
  const shared = tfl.layers.batchNormalization({});
  const inputs = [tfl.input({ shape: [1] }), tfl.input({ shape: [1] })];
  const outputs = inputs.map((each) => shared.apply(each) as tfl.SymbolicTensor);
  const siamese = tfl.model({ inputs, outputs });
  const [a, b] = [tf.tensor2d([[1], [3], [5]]), tf.tensor2d([[10], [20], [40]])];
  const ys = [tf.zeros([3, 1]), tf.zeros([3, 1])];
  await recalibrateBatchNorm(siamese, { xs: [a, b], ys }, { batchSize: 2, progress: false });
  // Means of the batches: 2 and 5, 15 and 40; the second batches are half as heavy. Variances: 1, 25, 0, 0.
  const statistics = shared.getWeights().slice(2);
  expect(statistics[0]!).toBeAllClose([(2 * 2 + 5 + 2 * 15 + 40) / 6]);
  expect(statistics[1]!).toBeAllClose([(2 * 1 + 2 * 25) / 6]);

  const norm = tfl.layers.batchNormalization({});
  const steps = tfl.sequential({
    layers: [tfl.layers.timeDistributed({ layer: norm, inputShape: [2, 1] })],
  });
  const xs = tf.tensor3d([
    [[1], [10]],
    [[3], [20]],
  ]);
  await recalibrateBatchNorm(steps, { xs, ys: tf.zeros([2, 2, 1]) }, { progress: false });
  expect(norm.getWeights()[2]!).toBeAllClose([(2 + 15) / 2]);
});

it('leaves the momentum and all other weights as they were, and no tensor', async () => {
  const net = model();
  const before = net.layers.flatMap((layer) => layer.trainableWeights.map((w) => w.read()));
  const values = before.map((tensor) => [...tensor.dataSync()]);
  await expectNoLeaks(() => recalibrateBatchNorm(net, data, { batchSize: 2, progress: false }));
  expect((net.layers[1] as unknown as { momentum: number }).momentum).toBe(0.9);
  expect(before.map((tensor) => [...tensor.dataSync()])).toEqual(values);
});

it('refuses a model without batch normalisation, and data that does not fit', async () => {
  const plain = tfl.sequential({ layers: [tfl.layers.dense({ units: 1, inputShape: [2] })] });
  await expect(recalibrateBatchNorm(plain, data)).rejects.toThrow(NoMatchError);
  const wrong = { xs: tf.zeros([4, 3]), ys: tf.zeros([4, 1]) };
  await expect(recalibrateBatchNorm(model(), wrong)).rejects.toThrow(ShapeError);
});
