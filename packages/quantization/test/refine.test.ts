// What is done about the loss of rounding: bias correction and AdaRound.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError, UnsupportedError, withSeed } from '@thimble/base';
import { foldBatchNorm, parametrizedWeights, probe } from '@thimble/core';
import { correctBias, quantize } from '@thimble/quantization';
import { outputs, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

const quiet = { progress: false } as const;

function network(): tfl.Sequential {
  return withSeed(3, () =>
    tfl.sequential({
      layers: [
        tfl.layers.conv2d({ filters: 6, kernelSize: 3, inputShape: [8, 8, 1] }),
        tfl.layers.batchNormalization(),
        tfl.layers.reLU(),
        tfl.layers.depthwiseConv2d({ kernelSize: 3, activation: 'relu' }),
        tfl.layers.separableConv2d({ filters: 5, kernelSize: 2, activation: 'relu' }),
        tfl.layers.flatten(),
        tfl.layers.dense({ units: 3 }),
      ],
    }),
  );
}
const images = (n: number, seed: number) =>
  ({ xs: tf.randomUniform([n, 8, 8, 1], 0, 1, 'float32', seed), ys: tf.zeros([n, 3]) }) as const;

describe('correctBias', () => {
  it('by hand: a layer with inputs of mean 2 and 3', async () => {
    const kernel = [
      [1.4, -3],
      [0.4, 1.6],
    ]; // prettier-ignore
    const model = tfl.sequential({
      layers: [
        tfl.layers.dense({
          units: 2,
          name: 'dense',
          activation: 'relu',
          inputShape: [2],
          weights: [tf.tensor2d(kernel), tf.tensor1d([0.5, 1])],
        }),
      ],
    });
    // One step of 1 for all at 3 bits: kernel rounds to [[1, -3], [0, 2]].
    const q = await quantize(model, { bits: 3, granularity: 'tensor' });
    const calibration = {
      xs: tf.tensor2d([
        [1, 4],
        [3, 2],
      ]),
      ys: tf.zeros([2, 2]),
    }; // prettier-ignore
    const report = await correctBias(q, { original: model, calibration, ...quiet });
    // E[W x] = 2 * 1.4 + 3 * 0.4 = 4 and -6 + 4.8; E[W' x] = 2 and 0: 2 more, and 1.2 less.
    const [bias] = q.weights.filter(({ originalName }) => originalName.endsWith('bias'));
    expect([...bias!.read().dataSync()]).toBeAllClose([2.5, -0.2], 1e-5);
    expect(report).toEqual({
      corrected: [{ layer: 'dense', moved: expect.closeTo(1.6, 5) }],
      left: [],
    });
  });

  it('gives every layer the mean answers of the original', async () => {
    const original = await foldBatchNorm(network());
    const calibration = images(40, 1);
    const q = await quantize(original, { bits: 3 });
    const means = async (model: tfl.LayersModel) => {
      const layers = model.layers.filter((layer) => layer.getWeights().length > 0);
      const found: number[][] = [];
      // All but the last have ReLU: of that layer the outputs are the answers.
      await probe(
        model,
        calibration,
        { layers: layers.slice(-1), batchSize: 40, ...quiet },
        ({ outputs }) => {
          found.push([...tf.mean(outputs[0]![0]!, 0).dataSync()]);
        },
      );
      return found.flat();
    };
    const wanted = await means(original);
    expect(await means(q)).not.toBeAllClose(wanted, 1e-2);
    const { corrected } = await correctBias(q, { original, calibration, batchSize: 16, ...quiet });
    expect(corrected).toHaveLength(4);
    expect(await means(q)).toBeAllClose(wanted, 1e-4);
  });

  it('corrects layers with their channels first', async () => {
    const model = tfl.sequential({
      layers: [
        tfl.layers.conv2d({
          filters: 3,
          kernelSize: 2,
          inputShape: [1, 4, 4],
          dataFormat: 'channelsFirst',
        }),
      ],
    });
    const q = await quantize(model, { bits: 2 });
    const calibration = { xs: tf.ones([2, 1, 4, 4]), ys: tf.zeros([2, 3, 3, 3]) };
    await correctBias(q, { original: model, calibration, ...quiet });
    // All positions answer alike, so equal means are equal answers.
    expect(outputs(q, calibration.xs)).toBeAllClose(outputs(model, calibration.xs), 1e-5);
  });

  it('refuses other models, and models without biases', async () => {
    const model = network();
    const calibration = images(4, 1);
    const q = await quantize(model);
    const other = tfl.sequential({
      layers: [tfl.layers.dense({ units: 1, inputShape: [2], useBias: false })],
    });
    const two = { xs: tf.ones([2, 2]), ys: tf.ones([2, 1]) };
    await expect(correctBias(q, { original: other, calibration })).rejects.toThrow(
      UnsupportedError,
    );
    await expect(correctBias(other, { original: other, calibration: two })).rejects.toThrow(
      NoMatchError,
    );
    await expect(correctBias(q, { original: q, calibration, examples: 0 })).rejects.toThrow(
      OptionError,
    );
  });
});
