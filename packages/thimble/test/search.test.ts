import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  data,
  evaluate,
  NonFiniteError,
  recipeTrial,
  search,
  searchTrials,
  type Trial,
  type TrialJob,
  withSeed,
} from 'thimble';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

let folder: string;
beforeAll(async () => {
  await tf.setBackend('thimble');
  folder = await mkdtemp(join(tmpdir(), 'thimble-search-'));
});
afterAll(() => rm(folder, { recursive: true }));

const space = { x: { between: [0, 1] }, bits: { oneOf: [2, 4, 8] } } as const;
/** Best at x = 0.7 with all bits; costs with both. */
const trial: Trial = async ({ settings: { x, bits } }) => ({
  accuracy: 1 - ((x as number) - 0.7) ** 2 - 0.05 / (bits as number),
  bytes: 100 * (x as number) + (bits as number),
});
const about = { space, goal: { bytes: 90 }, trials: 27, seed: 1, progress: false } as const;

describe('searchTrials', () => {
  test('makes as many trials as successive halving has, and lets the best go on', async () => {
    const jobs: TrialJob[] = [];
    const { trials } = await searchTrials({
      ...about,
      rungs: 3,
      trial: (job) => {
        jobs.push(job);
        return trial(job);
      },
    });
    const of = (share: number) => jobs.filter((job) => Math.abs(job.share - share) < 1e-9).length;
    expect([of(1 / 9), of(1 / 3), of(1)]).toEqual([27, 9, 3]);
    expect(new Set(jobs.map(({ seed }) => seed)).size).toBe(39);
    for (const bracket of [0, 1, 2]) {
      const rung = (k: number) => trials.filter(({ id }) => id.startsWith(`${bracket}.${k}.`));
      const within = rung(0).filter(({ outcome }) => outcome.bytes! <= 90);
      const over = rung(0).filter(({ outcome }) => outcome.bytes! > 90);
      const best = [
        ...within.sort((a, b) => b.outcome.accuracy - a.outcome.accuracy),
        ...over.sort((a, b) => a.outcome.bytes! - b.outcome.bytes!),
      ].slice(0, 3);
      expect(rung(1).map(({ settings }) => settings)).toEqual(best.map(({ settings }) => settings));
    }
  });

  test('finds what is best within the limit, and a front', async () => {
    const { best, front, trials } = await searchTrials({ ...about, trial });
    expect(best!.outcome.bytes).toBeLessThanOrEqual(90);
    expect(best!.settings.x).toBeCloseTo(0.7, 0);
    const whole = trials.filter(({ share }) => share === 1);
    const within = whole.filter(({ outcome }) => outcome.bytes! <= 90);
    expect(best!.outcome.accuracy).toBe(Math.max(...within.map(({ outcome }) => outcome.accuracy)));
    expect(front.at(-1)!.outcome.accuracy).toBe(
      Math.max(...whole.map(({ outcome }) => outcome.accuracy)),
    );
    const none = await searchTrials({ ...about, trial, goal: { bytes: 0.001 } });
    expect(none.best).toBeUndefined();
    expect(none.front.length).toBeGreaterThan(0);
  });

  test('several at a time come to the same, in whatever order they end', async () => {
    const plain = (list: Awaited<ReturnType<typeof searchTrials>>['trials']) =>
      list.map(({ id, settings, outcome }) => ({ id, settings, outcome }));
    const one = await searchTrials({ ...about, trial });
    let most = 0;
    let now = 0;
    const many = await searchTrials({
      ...about,
      parallel: 4,
      trial: async (job) => {
        most = Math.max(most, ++now);
        await new Promise((resolve) => setTimeout(resolve, 15 * (job.settings.x as number)));
        now--;
        return trial(job);
      },
    });
    expect(most).toBe(4);
    expect(plain(many.trials)).toEqual(plain(one.trials));
  });

  test('goes on where it was broken off, and makes no trial twice', async () => {
    const file = join(folder, 'broken.json');
    const made = new Map<string, number>();
    const counting: Trial = (job) => {
      made.set(`${job.seed}`, (made.get(`${job.seed}`) ?? 0) + 1);
      return trial(job);
    };
    const whole = await searchTrials({ ...about, trial });
    for (const last of [5, 11, 20]) {
      let left = last - made.size;
      const breaking = searchTrials({
        ...about,
        file,
        trial: (job) => {
          if (left-- === 0) throw new Error('power cut');
          return counting(job);
        },
      });
      await expect(breaking).rejects.toThrow('power cut');
      expect(JSON.parse(await readFile(file, 'utf8')).trials).toHaveLength(last);
    }
    const resumed = await searchTrials({ ...about, file, trial: counting });
    expect(Math.max(...made.values())).toBe(1);
    expect(made.size).toBe(whole.trials.length);
    const told = ({ trials }: typeof whole) => trials.map(({ seconds: _, ...each }) => each);
    expect(told(resumed)).toEqual(told(whole));
    // More of them: only what is missing.
    const more = await searchTrials({ ...about, trials: 36, file, trial: counting });
    expect(made.size).toBe(more.trials.length);
    expect(Math.max(...made.values())).toBe(1);
  });

  test('refuses a file of another search, and one that is damaged', async () => {
    const file = join(folder, 'other.json');
    await searchTrials({ ...about, trials: 3, file, trial });
    const other = searchTrials({ ...about, trials: 3, seed: 2, file, trial });
    await expect(other).rejects.toThrow(/of another search/);
    await writeFile(file, '{"trials":');
    await expect(searchTrials({ ...about, file, trial })).rejects.toThrow(/damaged/);
  });

  test('stops when told, with what was done kept', async () => {
    const file = join(folder, 'stopped.json');
    const abort = new AbortController();
    const reason = new Error('enough');
    let told = 0;
    const stopped = searchTrials({
      ...about,
      file,
      trial,
      signal: abort.signal,
      onTrial: () => {
        if (++told === 4) abort.abort(reason);
      },
    });
    await expect(stopped).rejects.toBe(reason);
    expect(JSON.parse(await readFile(file, 'utf8')).trials).toHaveLength(4);
  });

  test('a trial that went to NaN is the worst; other errors end the search', async () => {
    const { best, trials } = await searchTrials({
      ...about,
      trial: async (job) => {
        if ((job.settings.x as number) > 0.5) throw new NonFiniteError('the loss is NaN');
        return trial(job);
      },
    });
    expect(best!.settings.x).toBeLessThanOrEqual(0.5);
    expect(trials.some(({ failed }) => failed === 'the loss is NaN')).toBe(true);
    const wrong = searchTrials({
      ...about,
      trial: () => Promise.reject(new TypeError('a mistake')),
    });
    await expect(wrong).rejects.toThrow('a mistake');
    await expect(searchTrials({ ...about, trial, goals: 1 } as never)).rejects.toThrow(
      /unknown option/,
    );
  });

  test('progress tells how many of how many, and the best', async () => {
    const events: [number, number][] = [];
    let best: unknown;
    await searchTrials({
      ...about,
      trials: 9,
      trial,
      progress: ({ done, total, values }) => {
        events.push([done, total]);
        best = values.best;
      },
    });
    expect(events).toEqual(Array.from({ length: 12 }, (_, i) => [i + 1, 12]));
    expect(best).toBeGreaterThan(0.5);
  });
});

describe('search', () => {
  const network = (units: number) =>
    withSeed(units, () =>
      tfl.sequential({
        name: 'searched',
        layers: [
          tfl.layers.flatten({ name: 'row', inputShape: [28, 28, 1] }),
          tfl.layers.dense({ name: 'hidden', units, activation: 'relu' }),
          tfl.layers.dense({ name: 'output', units: 10, activation: 'softmax' }),
        ],
      }),
    );
  const quiet = { progress: false } as const;

  test('a recipe and a network for so many bytes; the test data once, at the end', async () => {
    const { train, test: last } = await data.syntheticDigits({
      train: 300,
      test: 60,
      onProgress: false,
    });
    let looked = 0;
    const watched = {
      size: last.size,
      batch: (indices: ArrayLike<number>) => {
        looked += indices.length;
        return last.batch(indices);
      },
    };
    const file = join(folder, 'recipe.json');
    const options = {
      model: ({ units }: Readonly<Record<string, unknown>>) => network(units as number),
      space: { units: { between: [4, 16], whole: true } },
      recipe: {
        steps: [
          { train: { epochs: 2, learningRate: 0.01 } },
          { prune: { sparsity: { between: [0.5, 0.95] }, epochs: 0 } },
          { encode: {} },
        ],
      },
      data: { train, test: watched },
      goal: { bytes: 8000 },
      trials: 6,
      bracket: 6,
      file,
      ...quiet,
    } as const;
    const before = tf.memory().numTensors;
    const { best, recipe, compressed, trials } = await search(options);
    expect(best!.outcome.bytes).toBeLessThanOrEqual(8000);
    expect(trials).toHaveLength(6 + 2);
    // The file is the one of the trial, with all the bytes that were chosen by.
    const { report, model, bytes } = compressed!;
    expect(bytes.length).toBe(best!.outcome.bytes);
    expect(report.after.validation.accuracy).toBe(best!.outcome.accuracy);
    expect(report.after.macs).toBe(best!.outcome.macs);
    expect(JSON.stringify(recipe)).toContain(`"sparsity":${best!.settings['prune.sparsity']}`);
    expect(report.data).toMatchObject({ train: 270, validation: 30, test: 60 });
    // The network before and that of the file, and a first batch that is looked at for its form.
    expect(looked).toBeLessThanOrEqual(4 * 60);
    const { accuracy } = await evaluate(model, last, { metrics: 'accuracy', ...quiet });
    expect(report.after.test!.accuracy).toBeCloseTo(accuracy!, 6);
    model.dispose();
    expect(tf.memory().numTensors).toBe(before);
  });

  test('kept trials of other weights, or of other data, are refused', async () => {
    const { train, test: others } = await data.syntheticDigits({
      train: 60,
      test: 60,
      onProgress: false,
    });
    const recipe = { steps: [{ quantize: { bits: { oneOf: [4, 8] } } }] };
    const about = { recipe, goal: { bytes: 8000 }, trials: 2, rungs: 1, ...quiet } as const;
    const file = join(folder, 'weights.json');
    const { compressed } = await search({ ...about, model: network(4), data: train, file });
    compressed!.model.dispose();
    const other = network(4);
    other.setWeights(other.getWeights().map((weight) => tf.mul(weight, 2)));
    const refused = /is of another search/;
    await expect(search({ ...about, model: other, data: train, file })).rejects.toThrow(refused);
    const elsewhere = search({ ...about, model: network(4), data: others, file });
    await expect(elsewhere).rejects.toThrow(refused);
    const again = await search({ ...about, model: network(4), data: train, file });
    expect(again.trials).toHaveLength(2);
    again.compressed!.model.dispose();
    const none = search({ ...about, recipe: null as never, model: network(4), data: train });
    await expect(none).rejects.toThrow('search: the recipe has no list of steps.');
  });

  test('in milliseconds, of a trained network', async () => {
    const { train } = await data.syntheticDigits({ train: 60, test: 20, onProgress: false });
    const recipe = {
      steps: [{ removeChannels: { ratio: { between: [0.1, 0.8] }, epochs: 0 } }],
    } as const;
    const timed = await recipeTrial({
      model: network(16),
      recipe,
      data: train,
      timed: true,
      loss: 'categoricalCrossentropy',
    });
    const outcome = await timed({ settings: { 'removeChannels.ratio': 0.5 }, share: 0.5, seed: 0 });
    expect(outcome).toMatchObject({ macs: 8 * 784 + 80 });
    expect(outcome.milliseconds).toBeGreaterThan(0);
    const wrong = search({
      model: network(8),
      recipe,
      data: train,
      space: { a: { oneOf: [1] } },
      goal: { bytes: 1 },
    });
    await expect(wrong).rejects.toThrow(/space goes with a model that is a function/);
    const nothing = search({
      model: network(8),
      recipe: { steps: [{ encode: {} }] },
      data: train,
      goal: { bytes: 1 },
    });
    await expect(nothing).rejects.toThrow(/nothing to choose/);
  });
});
