import '@tensorflow/tfjs-backend-cpu';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { CheckpointError } from '@thimble/base';
import {
  type CheckpointStore,
  type FitCallback,
  type FitOptions,
  fit,
  type History,
  loadCheckpointWeights,
  readCheckpoint,
} from '@thimble/core';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { classifier, points, useCpu, weightsOf } from './training-models.ts';

let folder: string;
beforeAll(useCpu);
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'thimble-checkpoint-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const options = {
  loss: 'categoricalCrossentropy',
  metrics: ['accuracy', 'errors'],
  batchSize: 8,
  epochs: 3,
  validationData: points(10, 2),
  earlyStopping: { patience: 9 },
  progress: false,
} satisfies FitOptions;

const model = () =>
  classifier(tfl.layers.dropout({ rate: 0.3 }), tfl.layers.batchNormalization({}));
const withoutTime = ({ seconds: _, ...history }: History) => history;

/** A run that is aborted after some steps. */
async function interrupted(steps: number, more: FitOptions): Promise<void> {
  const stop = new AbortController();
  let taken = 0;
  const counter = { afterStep: () => void (++taken === steps && stop.abort()) };
  const run = fit(model(), points(30), {
    ...options,
    ...more,
    signal: stop.signal,
    callbacks: [...(more.callbacks ?? []), counter],
  });
  await expect(run).rejects.toMatchObject({ name: 'AbortError' });
}

describe('a run that was aborted', () => {
  it.each([
    ['adam', 1],
    ['adam', 4],
    ['adam', 6],
    ['adamax', 5],
    ['momentum', 7],
    ['rmsprop', 11],
  ] as const)('with %s after %d steps ends bit-identical', async (optimizer, steps) => {
    const unbroken = model();
    const whole = await fit(unbroken, points(30), { ...options, optimizer });

    const checkpoint = join(folder, 'run');
    await interrupted(steps, { optimizer, checkpoint });
    expect((await readCheckpoint(checkpoint))!.step).toBe(steps);
    // Models made in between shift the names that tfjs gives to layers; that must not matter.
    const resumed = model();
    const rest = await fit(resumed, points(30), { ...options, optimizer, checkpoint });

    expect(weightsOf(resumed)).toEqual(weightsOf(unbroken));
    expect(withoutTime(rest)).toEqual(withoutTime(whole));
  });

  it('keeps frozen layers frozen and their moments', async () => {
    const callbacks: FitCallback[] = [];
    const freeze = (net: tfl.LayersModel) => ({
      onEpochEnd(epoch: number) {
        net.layers[0]!.trainable = epoch !== 0;
      },
    });
    const run = async (more: FitOptions) => {
      const net = model();
      await fit(net, points(30), { ...options, ...more, callbacks: [...callbacks, freeze(net)] });
      return weightsOf(net);
    };
    const whole = await run({});
    const checkpoint = join(folder, 'run');
    const stop = new AbortController();
    let taken = 0;
    callbacks.push({ afterStep: () => void (++taken === 6 && stop.abort()) });
    await expect(run({ checkpoint, signal: stop.signal })).rejects.toThrow();
    expect((await readCheckpoint(checkpoint))!.trainable['0']).toBe(false);
    callbacks.length = 0;
    expect(await run({ checkpoint })).toEqual(whole);
  });

  it('gives hooks their state back', async () => {
    const log: unknown[] = [];
    const hook = (name: string) => ({
      state: () => ({ name, mask: Float32Array.of(1, 0), rate: 1 / 3 }),
      restore: (state: unknown) => void log.push(state),
    });
    const checkpoint = join(folder, 'run');
    await interrupted(5, { checkpoint, callbacks: [hook('a'), { onEpochEnd() {} }, hook('b')] });
    const callbacks = [hook('a'), { onEpochEnd() {} }, hook('b')];
    await fit(model(), points(30), { ...options, checkpoint, callbacks });
    expect(log).toEqual(
      ['a', 'b'].map((name) => ({ name, mask: Float32Array.of(1, 0), rate: 1 / 3 })),
    );
  });
});

describe('a finished run', () => {
  it('returns at once with its history and weights', async () => {
    const checkpoint = join(folder, 'run');
    const first = model();
    const history = await fit(first, points(30), { ...options, checkpoint });
    const bytes = await readFile(checkpoint);
    let steps = 0;
    const again = model();
    const callbacks = [{ afterStep: () => void steps++ }];
    const repeated = await fit(again, points(30), { ...options, checkpoint, callbacks });
    expect(steps).toBe(0);
    expect(withoutTime(repeated)).toEqual(withoutTime(history));
    expect(weightsOf(again)).toEqual(weightsOf(first));
    expect(await readFile(checkpoint)).toEqual(bytes);
  });

  it('goes on when asked for more epochs, as if asked from the start', async () => {
    const whole = model();
    const history = await fit(whole, points(30), { ...options, epochs: 5 });
    const checkpoint = join(folder, 'run');
    await fit(model(), points(30), { ...options, checkpoint });
    const net = model();
    const longer = await fit(net, points(30), { ...options, checkpoint, epochs: 5 });
    expect(withoutTime(longer)).toEqual(withoutTime(history));
    expect(weightsOf(net)).toEqual(weightsOf(whole));
  });
});

describe('checkpoints', () => {
  it('are written as often as asked', async () => {
    const writes: number[] = [];
    let bytes: Uint8Array | undefined;
    const store: CheckpointStore = {
      read: async () => bytes,
      async write(written) {
        bytes = written;
        writes.push((await readCheckpoint(store))!.step);
      },
    };
    // Four steps per epoch.
    await fit(model(), points(30), {
      ...options,
      epochs: 5,
      checkpoint: { store, everyEpochs: 2 },
    });
    expect(writes).toEqual([8, 16, 20]);
    writes.length = 0;
    bytes = undefined;
    await fit(model(), points(30), { ...options, epochs: 2, checkpoint: { store, everySteps: 3 } });
    expect(writes).toEqual([3, 4, 6, 8]);
  });

  it('give their weights to a model: the last ones or the best', async () => {
    const checkpoint = join(folder, 'run');
    const trained = model();
    await fit(trained, points(30), {
      ...options,
      checkpoint,
      earlyStopping: { restoreBest: true },
    });
    const loaded = model();
    await loadCheckpointWeights(loaded, checkpoint, { best: true });
    expect(weightsOf(loaded)).toEqual(weightsOf(trained));
    await expect(loadCheckpointWeights(loaded, join(folder, 'none'))).rejects.toThrow(/not exist/);
    const other = tfl.sequential({ layers: [tfl.layers.dense({ units: 3, inputShape: [2] })] });
    await expect(loadCheckpointWeights(other, checkpoint)).rejects.toThrow(
      /another model: the weight 0\/kernel .* has shape \[2,3\], there \[2,8\]/,
    );
  });

  it('of another run are refused with what differs, and left as they are', async () => {
    const checkpoint = join(folder, 'run');
    await fit(model(), points(30), { ...options, checkpoint });
    const before = await readFile(checkpoint);
    for (const [more, message] of [
      [{ seed: 5 }, /seed was 0 and is 5/],
      [{ batchSize: 4, clipNorm: 1 }, /batchSize was 8 and is 4; clipNorm was null and is 1/],
      [{ optimizer: 'sgd' }, /optimizer was "Adam/],
      [{ optimizer: tf.train.adam(0.001, 0.8) }, /beta1/],
      [{ learningRate: 0.1 }, /learningRate was null and is 0.1/],
      [{ metrics: [] }, /metrics was \["accuracy","errors"\] and is \[\]/],
      [{ loss: 'meanSquaredError' }, /losses was/],
    ] as [FitOptions, RegExp][]) {
      const run = fit(model(), points(30), { ...options, ...more, checkpoint });
      await expect(run).rejects.toThrow(CheckpointError);
      await expect(run).rejects.toThrow(message);
    }
    const run = fit(classifier(), points(30), { ...options, checkpoint });
    await expect(run).rejects.toThrow(/layers was "Dense Dropout BatchNormalization Dense"/);
    expect(await readFile(checkpoint)).toEqual(before);
  });

  it('that are damaged are an error with the file name, before a step is taken', async () => {
    const checkpoint = join(folder, 'run');
    await fit(model(), points(30), { ...options, checkpoint });
    const bytes = await readFile(checkpoint);
    bytes[bytes.length >> 1]! ^= 4;
    for (const damaged of [bytes, bytes.subarray(0, 100), new Uint8Array(0)]) {
      await writeFile(checkpoint, damaged);
      const net = model();
      const before = weightsOf(net);
      const run = fit(net, points(30), { ...options, checkpoint });
      await expect(run).rejects.toThrow(CheckpointError);
      await expect(run).rejects.toThrow(checkpoint);
      expect(weightsOf(net)).toEqual(before);
    }
  });

  it('leave no tensor behind', async () => {
    const checkpoint = join(folder, 'run');
    await interrupted(3, { checkpoint });
    const net = model();
    const { numTensors, numDataBuffers } = tf.memory();
    await fit(net, points(30), { ...options, checkpoint });
    expect(tf.memory()).toMatchObject({ numTensors, numDataBuffers });
  });
});
