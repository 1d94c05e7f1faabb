import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { type BatchSource, fit } from '@thimble/core';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { classifier, points, useCpu, weightsOf } from './training-models.ts';

beforeAll(useCpu);
beforeEach(() => tf.setBackend('cpu'));

const oneHot = { loss: 'categoricalCrossentropy', progress: false } as const;
const mse = { loss: 'meanSquaredError', progress: false } as const;

describe('the same seed', () => {
  const dropouts = () => [
    tfl.layers.dropout({ rate: 0.4 }),
    tfl.layers.gaussianNoise({ stddev: 0.1 }),
    tfl.layers.batchNormalization({}),
  ];
  const noisy: BatchSource = {
    size: 40,
    varies: true,
    batch(indices, random) {
      const xs = Float32Array.from(
        { length: 2 * indices.length },
        (_, i) => indices[i >> 1]! / 40 + (random?.normal() ?? 0),
      );
      const ys = Array.from(indices, (i) => (i < 20 ? [1, 0] : [0, 1]));
      return { xs: tf.tensor2d(xs, [indices.length, 2]), ys: tf.tensor2d(ys) };
    },
  };

  it.each(['cpu', 'wasm'])('gives bit-identical weights and logs on %s', async (backend) => {
    await tf.setBackend(backend);
    const run = async (seed: number) => {
      const model = classifier(...dropouts());
      const { logs } = await fit(model, noisy, { ...oneHot, epochs: 3, batchSize: 8, seed });
      return { weights: weightsOf(model), logs };
    };
    const first = await run(1);
    expect(await run(1)).toEqual(first);
    expect(await run(2)).not.toEqual(first);
  });

  it('gives a seeded dropout layer a new mask at every step, and its seed back', async () => {
    const layer = tfl.layers.dropout({ rate: 0.5, seed: 7 });
    const model = tfl.sequential({
      layers: [
        tfl.layers.inputLayer({ inputShape: [64] }),
        layer,
        tfl.layers.dense({ units: 1, useBias: false, kernelInitializer: 'ones' }),
      ],
    });
    const masks: string[] = [];
    const callbacks = [
      {
        loss(loss: tf.Scalar, [output]: tf.Tensor[]) {
          masks.push(`${output!.dataSync()}`);
          return loss;
        },
      },
    ];
    const data = { xs: new Float32Array(64 * 6).fill(1), ys: new Float32Array(6) };
    await fit(model, data, { ...mse, batchSize: 1, callbacks, optimizer: 'sgd', learningRate: 0 });
    expect(new Set(masks).size).toBeGreaterThan(2);
    expect((layer as unknown as { seed: number }).seed).toBe(7);
  });

  it('leaves Math.random alone outside of steps', async () => {
    const original = Math.random;
    await fit(classifier(...dropouts()), points(8), {
      ...oneHot,
      callbacks: [{ onBatchEnd: () => expect(Math.random).toBe(original) }],
    });
  });
});
