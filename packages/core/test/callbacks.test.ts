import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { type FitCallback, fit, type Logs, ThimbleCallback } from '@thimble/core';
import { beforeAll, describe, expect, it } from 'vitest';
import { classifier, line, points, useCpu, weightsOf } from './training-models.ts';

beforeAll(useCpu);

const options = { loss: 'categoricalCrossentropy', batchSize: 10, progress: false } as const;

/** Writes down what it is told. */
class Recorder extends ThimbleCallback {
  readonly events: string[] = [];
  readonly logs: unknown[] = [];
  inside: boolean[] = [];

  override async onTrainBegin(): Promise<void> {
    this.events.push(`begin ${this.params.epochs}`);
    this.inside.push(this.insideFit);
  }
  override async onEpochBegin(epoch: number): Promise<void> {
    this.events.push(`epoch ${epoch}`);
  }
  override async onBatchBegin(batch: number): Promise<void> {
    this.events.push(`batch ${batch}`);
  }
  override async onBatchEnd(batch: number, logs?: unknown): Promise<void> {
    this.events.push(`batch ${batch} ends`);
    this.logs.push(logs);
  }
  override async onEpochEnd(epoch: number, logs?: unknown): Promise<void> {
    this.events.push(`epoch ${epoch} ends`);
    this.logs.push(logs);
  }
  override async onTrainEnd(): Promise<void> {
    this.events.push('end');
  }
}

const EVENTS = [
  'begin 2',
  ...[0, 1].flatMap((epoch) => [
    `epoch ${epoch}`,
    ...[0, 1].flatMap((batch) => [`batch ${batch}`, `batch ${batch} ends`]),
    `epoch ${epoch} ends`,
  ]),
  'end',
];

describe('callbacks', () => {
  it('hear the same events in fit and in tfjs’s own model.fit', async () => {
    const recorder = new Recorder();
    const model = classifier();
    await fit(model, points(20), { ...options, epochs: 2, callbacks: [recorder] });
    expect(recorder.events).toEqual(EVENTS);
    expect(recorder.model).toBe(model);

    const stock = new Recorder();
    const { xs, ys } = points(20);
    model.compile({ optimizer: 'sgd', loss: 'categoricalCrossentropy' });
    await model.fit(tf.tensor2d(xs, [20, 2]), tf.tensor2d(ys, [20, 2]), {
      epochs: 2,
      batchSize: 10,
      verbose: 0,
      callbacks: [stock],
    });
    expect(stock.events).toEqual(EVENTS);
    expect([recorder.inside, stock.inside]).toEqual([[true], [false]]);
    expect(recorder.insideFit).toBe(false);
  });

  it('always get numbers', async () => {
    const recorder = new Recorder();
    const plain: unknown[] = [];
    const record = (_: number, logs: Logs) => void plain.push({ ...logs });
    await fit(classifier(), points(20), {
      ...options,
      metrics: ['accuracy'],
      callbacks: [recorder, { onBatchEnd: record, onEpochEnd: record }],
    });
    expect(recorder.logs).toEqual(plain);
    const number = expect.any(Number);
    expect(plain).toEqual([
      { batch: 0, size: 10, loss: number, accuracy: number },
      { batch: 1, size: 10, loss: number, accuracy: number },
      { loss: number, accuracy: number },
    ]);
  });

  it('come in any mix and order; tfjs takes some only', async () => {
    const heard: string[] = [];
    const plain = { onEpochEnd: () => void heard.push('plain') };
    class Stock extends tfl.Callback {
      override async onEpochEnd(): Promise<void> {
        heard.push('stock');
      }
    }
    const custom = new tfl.CustomCallback({ onEpochEnd: async () => void heard.push('custom') });
    const callbacks: FitCallback[] = [new Stock(), plain, custom as FitCallback, new Recorder()];
    await fit(classifier(), points(20), { ...options, callbacks });
    expect(heard).toEqual(['stock', 'plain', 'custom']);
  });

  it('see the layers at work around the forward pass, the last hook outermost', async () => {
    const model = line(2);
    const heard: string[] = [];
    const named = (name: string, gain: number): FitCallback => ({
      forward(run, { batch }) {
        heard.push(`${name} begins ${batch.size}`);
        const outputs = run();
        heard.push(`${name} ends`);
        return outputs.map((y) => tf.mul(y, gain));
      },
      loss(loss) {
        heard.push(`loss of ${name}`);
        return loss;
      },
    });
    const { logs } = await fit(
      model,
      { xs: new Float32Array([1]), ys: new Float32Array([0]) },
      {
        loss: 'meanSquaredError',
        optimizer: 'sgd',
        learningRate: 0.01,
        progress: false,
        metrics: ['mae'],
        callbacks: [named('a', 5), { loss: (loss) => loss }, named('b', 0.5)],
      },
    );
    expect(heard).toEqual([
      'b begins 1',
      'a begins 1',
      'a ends',
      'b ends',
      'loss of a',
      'loss of b',
    ]);
    // The output is 2.5 w: the loss (2.5 w)^2, its gradient 12.5 w.
    expect(logs).toEqual({ loss: [25], mae: [5] });
    expect(weightsOf(model)[0]![0]).toBeCloseTo(2 - 0.01 * 25, 6);
  });

  it('write into the history what they add to the logs', async () => {
    const ended: Logs[] = [];
    const { logs } = await fit(classifier(), points(20), {
      ...options,
      epochs: 3,
      callbacks: [
        {
          onEpochEnd(epoch, logs) {
            if (epoch > 0) logs.sparsity = epoch / 4;
          },
        },
        { onEpochEnd: (_, logs) => void ended.push({ ...logs }) },
      ],
    });
    expect(logs.sparsity).toEqual([Number.NaN, 0.25, 0.5]);
    expect(logs.loss).toEqual(ended.map(({ loss }) => loss));
  });

  it('stop training by model.stopTraining, tfjs’s EarlyStopping included', async () => {
    const model = classifier();
    const stop = {
      onBatchEnd(batch: number) {
        model.stopTraining = batch === 2;
      },
    };
    const history = await fit(model, points(60), { ...options, epochs: 9, callbacks: [stop] });
    expect(history).toMatchObject({ epochs: 1, steps: 3, stopped: true });
    const early = tfl.callbacks.earlyStopping({ monitor: 'loss', minDelta: 1e9 });
    const second = await fit(model, points(60), { ...options, epochs: 9, callbacks: [early] });
    expect(second).toMatchObject({ epochs: 2, stopped: true });
  });

  it('hear when the event loop had its turn', async () => {
    const yields: number[] = [];
    await fit(classifier(), points(100), {
      ...options,
      callbacks: [
        {
          onBatchEnd: () => new Promise((resolve) => setTimeout(resolve, 15)),
          onYield: (epoch, batch) => void yields.push(epoch, batch),
        },
      ],
    });
    expect(yields.length).toBeGreaterThan(0);
  });
});
