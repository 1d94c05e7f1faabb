import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError } from '@thimble/base';
import { type FitOptions, fit } from '@thimble/core';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { classifier, line, points, useCpu, weightsOf } from './training-models.ts';

beforeAll(useCpu);
beforeEach(() => tf.setBackend('cpu'));

const oneHot = { loss: 'categoricalCrossentropy', progress: false } as const;

/** y = 0 for x = 1: on `line(w)` the loss is w^2 and its gradient 2 w. */
const pull = { xs: new Float32Array([1]), ys: new Float32Array([0]) };

describe('earlyStopping', () => {
  /** A fit whose val_loss a script decides. */
  async function scripted(values: number[], earlyStopping: FitOptions['earlyStopping']) {
    const model = line(0);
    const history = await fit(model, pull, {
      loss: (_, yPred) => tf.mul(tf.mean(yPred), -1) as tf.Tensor,
      progress: false,
      metrics: [],
      optimizer: 'sgd',
      learningRate: 1,
      epochs: values.length,
      // The weight grows by 1 in every epoch, so that it tells which epoch it is from.
      validationData: pull,
      earlyStopping: { monitor: 'val_script', ...earlyStopping },
      ...script(values, model),
    });
    return { history, weight: weightsOf(model)[0]![0] };
  }

  /** A metric that reads a list by the weight: 1 after the first epoch, 2 after the second ... */
  function script(values: number[], model: tfl.LayersModel): FitOptions {
    const call = { script: () => tf.scalar(values[weightsOf(model)[0]![0]! - 1] ?? 0) };
    return { metrics: [call.script] };
  }

  it('stops after patience epochs without improvement and brings the best weights back', async () => {
    const { history, weight } = await scripted([5, 3, 4, 6, 1], { patience: 2 });
    expect(history).toMatchObject({ epochs: 4, stopped: true, bestEpoch: 1 });
    expect(weight).toBe(2);
  });

  it('counts patience anew after an improvement', async () => {
    const { history, weight } = await scripted([5, 6, 4, 6, 3], { patience: 2 });
    expect(history).toMatchObject({ epochs: 5, stopped: false, bestEpoch: 4 });
    expect(weight).toBe(5);
  });

  it('ignores gains up to minDelta, and leaves the last weights when asked', async () => {
    const { history, weight } = await scripted([5, 4.5, 4.4], {
      minDelta: 0.5,
      restoreBest: false,
    });
    expect(history).toMatchObject({ epochs: 2, bestEpoch: 0 });
    expect(weight).toBe(2);
  });

  it('watches for more where more is better', async () => {
    const { history } = await scripted([1, 2, 1.5, 9], { mode: 'max' });
    expect(history).toMatchObject({ epochs: 3, bestEpoch: 1 });
  });

  it('refuses to watch what is not reported, after the first step', async () => {
    let steps = 0;
    const run = fit(classifier(), points(50), {
      ...oneHot,
      earlyStopping: { monitor: 'val_acc' },
      callbacks: [{ afterStep: () => void steps++ }],
    });
    await expect(run).rejects.toThrow(NoMatchError);
    await expect(run).rejects.toThrow(/"val_acc".*Reported: loss/);
    expect(steps).toBe(1);
  });
});
