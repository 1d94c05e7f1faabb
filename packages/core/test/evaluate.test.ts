import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { OptionError, type ProgressEvent } from '@thimble/base';
import { evaluate, fit, predictAll } from '@thimble/core';
import { beforeAll, describe, expect, it } from 'vitest';
import { classifier, line, points, useCpu } from './training-models.ts';

beforeAll(useCpu);

const mse = { loss: 'meanSquaredError', progress: false } as const;

/** One input, two outputs that repeat it: A and B. */
function twoOutputs(): tfl.LayersModel {
  const input = tfl.input({ shape: [1] });
  const output = (name: string) =>
    tfl.layers
      .dense({ units: 1, useBias: false, kernelInitializer: 'ones', name })
      .apply(input) as tfl.SymbolicTensor;
  return tfl.model({ inputs: input, outputs: [output('A'), output('B')] });
}

describe('evaluate', () => {
  it('tells total, A and B apart: 10, 1, 9', async () => {
    // A is 1 away from its labels, B is 3: tfjs reports loss = 1, A = 10, B = 1.
    const model = twoOutputs();
    const data = { xs: tf.ones([4, 1]), ys: [tf.fill([4, 1], 2), tf.fill([4, 1], 4)] };
    const result = await evaluate(model, data, { ...mse, metrics: ['mae'] });
    expect(result).toEqual({ loss: 10, A_loss: 1, A_mae: 1, B_loss: 9, B_mae: 3 });
    const history = await fit(model, data, {
      ...mse,
      metrics: { B: 'mae' },
      learningRate: 0,
      optimizer: 'sgd',
      validationData: data,
    });
    expect(history.logs).toEqual({
      loss: [10],
      A_loss: [1],
      B_loss: [9],
      B_mae: [3],
      val_loss: [10],
      val_A_loss: [1],
      val_B_loss: [9],
      val_B_mae: [3],
    });
  });

  it('applies lossWeights, by name and in order, and leaves outputs without a loss out', async () => {
    const model = twoOutputs();
    const data = { xs: tf.ones([4, 1]), ys: [tf.fill([4, 1], 2), tf.fill([4, 1], 4)] };
    const weighted = await evaluate(model, data, { ...mse, lossWeights: { B: 0.5 } });
    expect(weighted).toEqual({ loss: 1 + 4.5, A_loss: 1, B_loss: 9 });
    expect((await evaluate(model, data, { ...mse, lossWeights: [2, 0] })).loss).toBe(2);
    const onlyB = await evaluate(model, data, {
      loss: { B: 'meanAbsoluteError' },
      progress: false,
    });
    expect(onlyB).toEqual({ loss: 3, B_loss: 3 });
  });

  it('counts a smaller last batch by its examples', async () => {
    // Squared errors 0, 0, 0, 8: the mean is 2, the mean of the means of batches of 3 and 1 is 4.
    const data = { xs: tf.tensor1d([1, 2, 3, 0]), ys: tf.tensor1d([1, 2, 3, Math.sqrt(8)]) };
    const { loss } = await evaluate(line(), data, { ...mse, batchSize: 3 });
    expect(loss).toBeCloseTo(2, 5);
  });

  it('counts errors exactly', async () => {
    const xs = tf.tensor1d(Array.from({ length: 1000 }, (_, i) => (i % 7 === 0 ? -1 : 1)));
    const data = { xs, ys: tf.ones([1000]) };
    const result = await evaluate(line(), data, {
      metrics: ['errors', 'accuracy'],
      batchSize: 37,
      progress: false,
    });
    expect(result).toEqual({ errors: 143, accuracy: 857 / 1000 });
  });

  it('takes loss and metrics from compile', async () => {
    const model = line(2);
    model.compile({ optimizer: 'sgd', loss: 'meanSquaredError', metrics: ['mae'] });
    const data = { xs: tf.ones([2, 1]), ys: tf.zeros([2, 1]) };
    expect(await evaluate(model, data, { progress: false })).toEqual({ loss: 4, mae: 2 });
  });

  it('adds the penalties of the layers', async () => {
    const kernelRegularizer = tfl.regularizers.l2({ l2: 0.5 });
    const data = { xs: tf.ones([2, 1]), ys: tf.zeros([2, 1]) };
    const { loss } = await evaluate(line(2, { kernelRegularizer }), data, mse);
    expect(loss).toBeCloseTo(4 + 0.5 * 4, 6);
  });

  it('leaves no tensor behind, also when a metric throws', async () => {
    const model = classifier();
    const data = points(50);
    const options = { loss: 'categoricalCrossentropy', metrics: ['accuracy'], progress: false };
    await evaluate(model, data, options);
    const { numTensors, numDataBuffers } = tf.memory();
    await evaluate(model, data, options);
    const broken = (): tf.Tensor => {
      throw new Error('broken');
    };
    await expect(evaluate(model, data, { metrics: [broken], progress: false })).rejects.toThrow(
      'broken',
    );
    expect(tf.memory()).toMatchObject({ numTensors, numDataBuffers });
  });

  it('refuses unknown options, losses, metrics and outputs', async () => {
    const data = points(4);
    const model = classifier();
    for (const options of [
      { batchsize: 3 },
      { loss: 'crossentropy' },
      { metrics: ['acuracy'] },
      { loss: { out: 'meanSquaredError' } },
      { loss: ['hinge', 'hinge'] },
      {},
    ]) {
      await expect(evaluate(model, data, options as never)).rejects.toThrow(OptionError);
    }
  });

  it('reports progress and stops at a signal', async () => {
    const events: ProgressEvent[] = [];
    const stop = new AbortController();
    const progress = (event: ProgressEvent) => {
      events.push(event);
      if (event.done === 40) stop.abort(new Error('enough'));
    };
    const options = { metrics: ['accuracy'], batchSize: 20, progress, signal: stop.signal };
    await expect(evaluate(classifier(), points(100), options)).rejects.toThrow('enough');
    expect(events.map(({ done, total }) => [done, total])).toEqual([
      [20, 100],
      [40, 100],
    ]);
  });
});

describe('predictAll', () => {
  it('gives what predict gives, over batches, and needs no disposing', async () => {
    const model = twoOutputs();
    const xs = tf.tensor2d([[1], [2], [3], [4], [5]]);
    const data = { xs, ys: tf.zeros([5, 1]) };
    const before = tf.memory().numTensors;
    const outputs = await predictAll(model, data, { batchSize: 2, progress: false });
    expect(tf.memory().numTensors).toBe(before);
    expect(outputs).toEqual([
      { shape: [5, 1], values: Float32Array.of(1, 2, 3, 4, 5) },
      { shape: [5, 1], values: Float32Array.of(1, 2, 3, 4, 5) },
    ]);
  });
});
