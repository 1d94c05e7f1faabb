import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NonFiniteError } from '@thimble/base';
import { type FitOptions, fit } from '@thimble/core';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { classifier, line, points, useCpu, weightsOf } from './training-models.ts';

beforeAll(useCpu);
beforeEach(() => tf.setBackend('cpu'));

const oneHot = { loss: 'categoricalCrossentropy', progress: false } as const;
const mse = { loss: 'meanSquaredError', progress: false } as const;

/** y = 0 for x = 1: on `line(w)` the loss is w^2 and its gradient 2 w. */
const pull = { xs: new Float32Array([1]), ys: new Float32Array([0]) };

describe('a loss that is not finite', () => {
  it.each(['cpu', 'wasm'])(
    'is an error at that step on %s, with the weights of before',
    async (backend) => {
      await tf.setBackend(backend);
      const model = classifier(tfl.layers.batchNormalization({}));
      const weights: number[][][] = [];
      const callbacks = [
        {
          loss: (loss: tf.Scalar, _: tf.Tensor[], { step }: { step: number }) =>
            step === 5 ? tf.mul(loss, Number.NaN) : loss,
          onBatchBegin: () => void weights.push(weightsOf(model)),
        },
      ] as FitOptions['callbacks'];
      const run = fit(model, points(30), { ...oneHot, batchSize: 10, epochs: 9, callbacks });
      await expect(run).rejects.toThrow(NonFiniteError);
      await expect(run).rejects.toThrow(/loss is NaN in epoch 2, step 3.*learning rate/);
      expect(weights.length).toBe(6);
      expect(weightsOf(model)).toEqual(weights[5]);
      expect(weights[5]).not.toEqual(weights[4]);
    },
  );

  it('names a weight that a NaN gradient has spoilt while the loss is finite', async () => {
    const callbacks = [{ gradients: (g: tf.Tensor[]) => g.map((t) => tf.mul(t, Number.NaN)) }];
    const run = fit(line(), pull, { ...mse, callbacks });
    await expect(run).rejects.toThrow(NonFiniteError);
    await expect(run).rejects.toThrow(/kernel" has NaN in it after epoch 1/);
  });
});

describe('memory', () => {
  const callbacks: FitOptions['callbacks'] = [{ gradients: (g) => g.map((t) => tf.mul(t, 1)) }];
  const full = {
    ...oneHot,
    metrics: ['accuracy'],
    clipNorm: 1,
    accumulate: 2,
    batchSize: 2,
    callbacks,
    validationData: points(6),
  };

  /** Counts at the end of every epoch. */
  async function countsOf(model: tfl.LayersModel, examples: number, options: FitOptions) {
    const counts: string[] = [];
    const counter = { onEpochEnd: () => void counts.push(countTensors()) };
    await fit(model, points(examples), {
      ...options,
      optimizer: tf.train.adam(0.001),
      callbacks: [...(options.callbacks ?? []), counter],
    });
    return counts;
  }

  it('is the same after 1,000 steps', async () => {
    const model = tfl.sequential({ layers: [tfl.layers.dense({ units: 2, inputShape: [2] })] });
    const counts = await countsOf(model, 100, { ...mse, batchSize: 1, epochs: 10 });
    expect(counts.length).toBe(10);
    expect(new Set(counts).size).toBe(1);
  });

  it('is the same after epochs with everything in use', async () => {
    const model = classifier(tfl.layers.dropout({ rate: 0.2 }), tfl.layers.batchNormalization({}));
    const counts = await countsOf(model, 20, { ...full, epochs: 4 });
    expect(new Set(counts).size).toBe(1);
  });

  it.each<[string, FitOptions]>([
    ['a run', {}],
    ['a run with an optimizer by name', { optimizer: 'momentum' }],
    ['a loss that is NaN', { callbacks: [{ loss: (loss) => tf.mul(loss, Number.NaN) }] }],
    ['a hook that throws in the loss', { callbacks: [{ loss: fail }] }],
    ['a hook that throws in the gradients', { callbacks: [{ gradients: fail }] }],
    ['a hook that throws after the step', { callbacks: [{ afterStep: fail }] }],
    ['a callback that throws', { callbacks: [{ onBatchEnd: fail }] }],
    ['an abort', { signal: AbortSignal.timeout(20), epochs: 1000 }],
  ])('is given back after %s', async (_, options) => {
    const model = classifier(tfl.layers.batchNormalization({}));
    const before = countTensors();
    await fit(model, points(20), { ...full, ...options }).catch(() => undefined);
    expect(countTensors()).toBe(before);
  });
});

function countTensors(): string {
  const { numTensors, numDataBuffers } = tf.memory();
  return `${numTensors} tensors, ${numDataBuffers} buffers`;
}

function fail(): never {
  throw new Error('broken');
}
