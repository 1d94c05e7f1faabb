import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { OptionError, type ProgressEvent, Random } from '@thimble/base';
import { evaluate, type FitOptions, fit, schedules } from '@thimble/core';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { classifier, line, points, useCpu, weightsOf } from './training-models.ts';

beforeAll(useCpu);
beforeEach(() => tf.setBackend('cpu'));

const oneHot = { loss: 'categoricalCrossentropy', progress: false } as const;
const mse = { loss: 'meanSquaredError', progress: false } as const;

/** y = 0 for x = 1: on `line(w)` the loss is w^2 and its gradient 2 w. */
const pull = { xs: new Float32Array([1]), ys: new Float32Array([0]) };

describe('fit', () => {
  it('learns without compile, and reports what evaluate does', async () => {
    const model = classifier();
    const history = await fit(model, points(200), {
      ...oneHot,
      epochs: 20,
      learningRate: 0.01,
      metrics: ['accuracy'],
      validationData: points(100, 2),
    });
    expect(history).toMatchObject({ epochs: 20, steps: 20 * 7, stopped: false });
    expect(Object.keys(history.logs)).toEqual(['loss', 'accuracy', 'val_loss', 'val_accuracy']);
    expect(history.logs.val_accuracy!.at(-1)).toBeGreaterThan(0.9);
    expect(await evaluate(model, points(100, 2), { ...oneHot, metrics: ['accuracy'] })).toEqual({
      loss: history.logs.val_loss!.at(-1),
      accuracy: history.logs.val_accuracy!.at(-1),
    });
  });

  it('uses what the model was compiled with', async () => {
    const model = line(2);
    model.compile({ optimizer: tf.train.sgd(0.25), loss: 'meanSquaredError', metrics: ['mae'] });
    const { logs } = await fit(model, pull, { progress: false });
    // w - 0.25 * 2 w
    expect(weightsOf(model)).toEqual([[1]]);
    expect(logs).toEqual({ loss: [4], mae: [2] });
  });

  it('weights a smaller last batch by its examples', async () => {
    const data = { xs: new Float32Array([1, 1, 1, 1]), ys: new Float32Array([1, 1, 1, 3]) };
    const { logs } = await fit(line(), data, {
      ...mse,
      batchSize: 3,
      optimizer: 'sgd',
      learningRate: 0,
    });
    expect(logs.loss![0]).toBeCloseTo(1, 6);
  });

  it('takes the same steps as tf.train on the same gradients', async () => {
    const model = line(2);
    await fit(model, pull, { ...mse, epochs: 5, optimizer: tf.train.adam(0.1) });
    const w = tf.variable(tf.tensor2d([[2]]));
    const optimizer = tf.train.adam(0.1);
    for (let i = 0; i < 5; i++) optimizer.minimize(() => tf.sum(tf.square(w)), false, [w]);
    expect(weightsOf(model)).toEqual([Array.from(w.dataSync())]);
  });

  it('sees every example once in every epoch, in another order each time', async () => {
    const seen: number[][] = [];
    const callbacks = [
      {
        onEpochBegin: () => void seen.push([]),
        afterStep: ({ batch }) => void seen.at(-1)!.push(...batch.indices),
      },
    ] as FitOptions['callbacks'];
    await fit(
      line(),
      { xs: new Float32Array(10), ys: new Float32Array(10) },
      { ...mse, batchSize: 4, epochs: 2, callbacks },
    );
    for (const epoch of seen)
      expect(epoch.toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(seen[0]).not.toEqual(seen[1]);
  });

  it('applies weight constraints after every step; tfjs does not', async () => {
    const model = line(2, { kernelConstraint: tfl.constraints.nonNeg() });
    await fit(model, pull, { ...mse, optimizer: 'sgd', learningRate: 10 });
    expect(weightsOf(model)).toEqual([[0]]);
  });

  it('refuses unknown and impossible options', async () => {
    for (const options of [
      { batchsize: 4 },
      { batchSize: 0 },
      { epochs: 1.5 },
      { optimizer: 'adamw' },
      { loss: 'crossentropy' },
      { learningRate: 'high' },
      { clipNorm: 0 },
      { earlyStopping: { patiens: 3 } },
      { checkpoint: {} },
      { checkpoint: { path: 'a', every: 3 } },
      { callbacks: [{}] },
      { callbacks: [{ onEpochFinished() {} }] },
    ]) {
      const given = { ...oneHot, ...options } as FitOptions;
      await expect(fit(classifier(), points(8), given), JSON.stringify(options)).rejects.toThrow(
        OptionError,
      );
    }
    await expect(fit(classifier(), points(8), { progress: false })).rejects.toThrow(/no loss/);
  });

  it('lets timers run', async () => {
    let ticks = 0;
    const timer = setInterval(() => ticks++, 5);
    await fit(classifier(), points(300), { ...oneHot, batchSize: 1 });
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(2);
  });

  it('reports progress', async () => {
    const events: ProgressEvent[] = [];
    const progress = (event: ProgressEvent) => void events.push(event);
    await fit(classifier(), points(10), {
      ...oneHot,
      metrics: ['accuracy'],
      batchSize: 5,
      epochs: 2,
      progress,
    });
    expect(events.map(({ task, done, total }) => [task, done, total])).toEqual([
      ['epoch 1/2', 1, 2],
      ['epoch 1/2', 2, 2],
      ['epoch 2/2', 1, 2],
      ['epoch 2/2', 2, 2],
    ]);
    expect(Object.keys(events[0]!.values)).toEqual(['loss', 'accuracy', 'ms/step']);
  });
});

describe('the learning rate', () => {
  it.each(['sgd', 'momentum', 'adam', 'adamax', 'rmsprop', 'adagrad', 'adadelta'] as const)(
    'of 0 keeps %s still',
    async (optimizer) => {
      const model = line(2);
      await fit(model, pull, { ...mse, optimizer, learningRate: 0, epochs: 3 });
      expect(weightsOf(model)).toEqual([[2]]);
    },
  );

  it('follows a schedule, asked before every step', async () => {
    const asked: unknown[] = [];
    const model = line(1);
    await fit(
      model,
      { xs: new Float32Array([1, 1]), ys: new Float32Array(2) },
      {
        ...mse,
        batchSize: 1,
        epochs: 2,
        optimizer: 'sgd',
        learningRate(progress) {
          asked.push({ ...progress });
          return progress.epoch === 0 ? 0.25 : 0.5;
        },
      },
    );
    const run = { stepsPerEpoch: 2, epochs: 2 };
    expect(asked).toEqual([
      { epoch: 0, step: 0, ...run },
      { epoch: 0, step: 1, ...run },
      { epoch: 1, step: 2, ...run },
      { epoch: 1, step: 3, ...run },
    ]);
    // w (1 - 2 rate) at each step: 1/2, 1/4, then 0.
    expect(weightsOf(model)).toEqual([[0]]);
    await fit(model, pull, { ...mse, learningRate: schedules.cosine(0.1) });
  });
});

function close(actual: number[], expected: number[]): void {
  expect(actual.length).toBe(expected.length);
  for (const [i, value] of actual.entries()) expect(value).toBeCloseTo(expected[i]!, 5);
}

describe('accumulate', () => {
  it.each([
    [1, 10],
    [2, 5],
    [5, 2],
    [3, 4],
  ])('%d batches of %d equal one of 10', async (accumulate, batchSize) => {
    const run = async (options: FitOptions) => {
      const model = classifier();
      const history = await fit(model, points(25), {
        ...oneHot,
        metrics: ['accuracy', 'errors'],
        epochs: 2,
        optimizer: 'sgd',
        learningRate: 0.5,
        ...options,
      });
      return { weights: weightsOf(model), history };
    };
    const whole = await run({ batchSize: accumulate * batchSize });
    const parts = await run({ batchSize, accumulate });
    expect(parts.history.steps).toBe(whole.history.steps);
    close(parts.weights.flat(), whole.weights.flat());
    close(parts.history.logs.loss!, whole.history.logs.loss!);
    expect(parts.history.logs.errors).toEqual(whole.history.logs.errors);
  });
});

describe('clipping', () => {
  // Two weights of 3 and 4 on inputs (1, 0) and (0, 1) with labels 0: gradients (3, 4), norm 5.
  const model = () =>
    tfl.sequential({ layers: [tfl.layers.dense({ units: 1, useBias: false, inputShape: [2] })] });
  const data = { xs: new Float32Array([1, 0, 0, 1]), ys: new Float32Array(2) };

  it.each<[string, FitOptions, number[]]>([
    ['not at all', {}, [0, 0]],
    ['by norm', { clipNorm: 2.5 }, [1.5, 2]],
    ['by a norm that is not reached', { clipNorm: 6 }, [0, 0]],
    ['by value', { clipValue: 1 }, [2, 3]],
  ])('%s', async (_, clip, expected) => {
    const net = model();
    net.setWeights([tf.tensor2d([[3], [4]])]);
    await fit(net, data, { ...mse, ...clip, optimizer: 'sgd', learningRate: 1 });
    close(weightsOf(net)[0]!, expected);
  });
});

describe('callbacks', () => {
  it('may freeze and unfreeze layers on the way', async () => {
    const model = classifier();
    const [first] = model.layers;
    const frozen: boolean[] = [];
    let before = weightsOf(model);
    await fit(model, points(20), {
      ...oneHot,
      epochs: 4,
      callbacks: [
        {
          onEpochBegin(epoch) {
            first!.trainable = epoch !== 1 && epoch !== 2;
            before = [...first!.getWeights()].map((w) => Array.from(w.dataSync()));
          },
          onEpochEnd() {
            const after = first!.getWeights().map((w) => Array.from(w.dataSync()));
            frozen.push(JSON.stringify(after) === JSON.stringify(before));
          },
        },
      ],
    });
    expect(frozen).toEqual([false, true, true, false]);
  });

  it('change gradients', async () => {
    const model = line(2);
    const callbacks = [{ gradients: (g: tf.Tensor[]) => g.map((t) => tf.mul(t, -1)) }];
    await fit(model, pull, { ...mse, callbacks, optimizer: 'sgd', learningRate: 0.25 });
    expect(weightsOf(model)).toEqual([[3]]);
  });
});

it('a signal stops between steps with its reason', async () => {
  const stop = new AbortController();
  let steps = 0;
  const run = fit(classifier(), points(100), {
    ...oneHot,
    epochs: 100,
    signal: stop.signal,
    callbacks: [{ afterStep: () => void (++steps === 7 && stop.abort()) }],
  });
  await expect(run).rejects.toMatchObject({ name: 'AbortError' });
  expect(steps).toBe(7);
  await expect(fit(classifier(), points(4), { ...oneHot, signal: stop.signal })).rejects.toThrow();
});

it('a step of the caller takes the place of the supervised one', async () => {
  const model = line(2);
  const history = await fit(
    model,
    { size: 3, batch: (indices) => ({ xs: tf.ones([indices.length, 1]), ys: [] }) },
    {
      progress: false,
      optimizer: 'sgd',
      learningRate: 0.5,
      step({ variables, batch, random }) {
        const factor = random('factor').uniform() < 2 ? 1 : 0;
        return {
          loss: tf.scalar(batch.size),
          gradients: variables.map((v) => tf.mul(tf.onesLike(v), factor)),
          logs: { mean: tf.scalar(4) },
          totals: { sum: tf.scalar(batch.size) },
        };
      },
      batchSize: 2,
    },
  );
  expect(weightsOf(model)).toEqual([[1]]);
  expect(history.logs).toEqual({ loss: [(2 * 2 + 1) / 3], mean: [4], sum: [3] });
});

it('random data of several inputs and outputs trains', async () => {
  const random = new Random(1);
  const [a, b] = [tfl.input({ shape: [2] }), tfl.input({ shape: [1] })];
  const joined = tfl.layers.concatenate().apply([a, b]) as tfl.SymbolicTensor;
  const outputs = ['p', 'q'].map(
    (name) => tfl.layers.dense({ units: 1, name }).apply(joined) as tfl.SymbolicTensor,
  );
  const model = tfl.model({ inputs: [a, b], outputs });
  const values = (n: number) => Float32Array.from({ length: n }, () => random.uniform());
  const data = { xs: [values(40), values(20)], ys: [values(20), values(20)] };
  const history = await fit(model, data, {
    ...mse,
    epochs: 2,
    lossWeights: { p: 2 },
    metrics: { q: ['mae'] },
  });
  expect(Object.keys(history.logs)).toEqual(['loss', 'p_loss', 'q_loss', 'q_mae']);
  const [loss, p, q] = ['loss', 'p_loss', 'q_loss'].map((key) => history.logs[key]![0]!);
  expect(loss).toBeCloseTo(2 * p! + q!, 5);
});
