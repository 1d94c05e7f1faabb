import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { CheckpointError } from '@thimble/base';
import { decodeState, encodeState, schedules } from '@thimble/core';
import { criteria, type LotteryBranch, type LotteryTicketOptions } from '@thimble/pruning';
import { useCpu } from '@thimble/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { branchName } from '../src/lottery-files.ts';
import { resolveLottery } from '../src/lottery-options.ts';
import { small, training, watched } from './lottery.ts';
import { blobs } from './masks.ts';

useCpu();

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'thimble-lottery-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** Branches without the time that they took. */
const plain = (branches: LotteryBranch[]) => branches.map(({ seconds: _, ...branch }) => branch);

describe('a folder', () => {
  it('keeps what is finished: a second call trains nothing and finds the same', async () => {
    const options = { folder, controls: ['random', 'oneShot'] as const, seeds: [1, 'a/b'] };
    const first = await watched(options);
    expect(first.seen).toHaveLength(2 * 7);
    expect(await readdir(folder)).toHaveLength(2 * 7);
    const told: LotteryBranch[] = [];
    const second = await watched({ ...options, onBranch: (branch) => told.push(branch) });
    expect(second.seen).toEqual([]);
    expect(second.report).toEqual(first.report);
    expect(told).toEqual(first.report.branches);
    // Without a folder it comes out the same.
    const { folder: _, ...without } = options;
    expect(plain((await watched(without)).report.branches)).toEqual(plain(first.report.branches));
  });

  it('lets an experiment go on that was aborted', async () => {
    const options = { folder, controls: ['reinit'] as const };
    const abort = new AbortController();
    const { signal } = abort;
    let told = 0;
    const onBranch = () => {
      if (++told === 2) abort.abort(new Error('enough'));
    };
    await expect(watched({ ...options, signal, onBranch })).rejects.toThrow('enough');
    expect(await readdir(folder)).toHaveLength(2);
    const rest = await watched(options);
    expect(rest.seen).toHaveLength(3);
    const whole = await watched({ controls: ['reinit'] });
    expect(plain(rest.report.branches)).toEqual(plain(whole.report.branches));
  });

  it('lets one with more rounds, controls and seeds train only what is new', async () => {
    await watched({ folder, rounds: 1 });
    const options = {
      folder,
      rounds: 3,
      controls: ['random'] as const,
      controlRounds: [1, 3],
      seeds: [0, 5],
    };
    const more = await watched(options);
    expect(more.seen).toHaveLength(2 * 6 - 2);
    const { folder: _, ...without } = options;
    const { report, seen } = await watched(without);
    expect(plain(more.report.branches)).toEqual(plain(report.branches));
    // Tickets and random masks of rounds 1 and 3: the third ticket keeps 48 - 31.5 weights.
    expect(seen[4]!.masks[0]!.filter(Boolean)).toHaveLength(16);
  });

  it('trains a last ticket again whose file does not tell the masks of the next round', async () => {
    await watched({ folder, rounds: 1 });
    const file = join(folder, (await readdir(folder)).find((name) => name.includes('ticket-1'))!);
    const kept = decodeState(await readFile(file)) as Record<string, never>;
    await writeFile(file, encodeState({ ...kept, masks: null }));
    // As it is it serves an experiment of one round.
    expect((await watched({ folder, rounds: 1 })).seen).toEqual([]);
    const more = await watched({ folder, rounds: 2 });
    expect(more.seen).toHaveLength(2);
    expect(plain(more.report.branches)).toEqual(
      plain((await watched({ rounds: 2 })).report.branches),
    );
  });

  it('shares the dense network between experiments with other fractions, criteria and layers', async () => {
    await watched({ folder, rounds: 1 });
    for (const other of [
      { fraction: 0.5 },
      { perLayer: { hidden: 0.25 } },
      { criterion: criteria.travel() },
    ]) {
      const { report, seen } = await watched({ folder, rounds: 1, ...other });
      expect(seen, JSON.stringify(other)).toHaveLength(1); // the ticket
      const alone = await watched({ rounds: 1, ...other });
      expect(seen[0]!.masks).toEqual(alone.seen[1]!.masks);
      expect(plain(report.branches)).toEqual(plain(alone.report.branches));
    }
  });

  it('rewinds to the weights of a dense network that it has kept', async () => {
    const options = { rounds: 1, rewindTo: 3 };
    await watched({ folder, ...options });
    const name = (await readdir(folder)).find((file) => file.includes('ticket-1'))!;
    await rm(join(folder, name));
    const again = await watched({ folder, ...options });
    const alone = await watched(options);
    expect(again.seen).toEqual(alone.seen.slice(1));
  });

  it.each<[string, (bytes: Buffer) => Uint8Array, RegExp]>([
    ['truncated', (bytes) => bytes.subarray(0, bytes.length >> 1), /is truncated/],
    [
      'corrupt',
      (bytes) => {
        bytes[bytes.length - 100]! ^= 1;
        return bytes;
      },
      /is corrupt: its checksum does not fit/,
    ],
    ['empty', () => new Uint8Array(0), /is truncated/],
    ['of something else', () => encodeState({ epoch: 3 }), /holds no finished training/],
  ])('with a file that is %s is an error that names it', async (_name, damage, message) => {
    await watched({ folder, rounds: 1 });
    const file = (await readdir(folder)).find((name) => name.includes('ticket-0'))!;
    await writeFile(join(folder, file), damage(await readFile(join(folder, file))));
    const run = watched({ folder, rounds: 1 });
    await expect(run).rejects.toThrow(CheckpointError);
    await expect(run).rejects.toThrow(message);
    await expect(run).rejects.toThrow(join(folder, file));
  });

  it('of other data of the same size is an error', async () => {
    await watched({ folder, rounds: 1 });
    for (const other of ['data', 'validationData', 'testData'] as const) {
      const count = other === 'data' ? 48 : 24;
      const run = watched({ folder, rounds: 1, [other]: blobs(count, 'others') });
      await expect(run, other).rejects.toThrow(CheckpointError);
      await expect(run, other).rejects.toThrow(
        'of other data of the same size. Use another folder',
      );
    }
    const { xs, ys } = blobs(24, 'test');
    const labels = { testData: { xs, ys: tf.reverse(ys, 1) } };
    await expect(watched({ folder, rounds: 1, ...labels })).rejects.toThrow('of other data');
  });

  it('cannot tell data apart that varies', async () => {
    const varying = (seed: string) => {
      const { xs, ys } = blobs(24, seed);
      const batch = (indices: ArrayLike<number>) => ({
        xs: tf.gather(xs, Array.from(indices)),
        ys: tf.gather(ys, Array.from(indices)),
      });
      return { size: 24, varies: true, batch };
    };
    await watched({ folder, rounds: 1, validationData: varying('a') });
    const again = await watched({ folder, rounds: 1, validationData: varying('b') });
    expect(again.seen).toEqual([]);
  });
});

describe('the name of a file', () => {
  async function names(options: Partial<LotteryTicketOptions> = {}): Promise<string[]> {
    const resolved = await resolveLottery(small(options));
    return [branchName(resolved, 0, 'ticket', 0), branchName(resolved, 0, 'ticket', 1)];
  }
  const hidden = (units: number, more = {}) =>
    tfl.sequential({
      layers: [
        tfl.layers.dense({ units, activation: 'tanh', inputShape: [6], ...more }),
        tfl.layers.dense({ units: 3 }),
      ],
    });

  it('tells what the training is', async () => {
    const [dense] = await names();
    expect(dense).toMatch(/^seed-0-ticket-0-[0-9a-f]{16}\.branch$/);
    const resolved = await resolveLottery(small());
    const of = (seed: number | string) => branchName(resolved, seed, 'reinit', 3);
    expect(of('0')).not.toBe(of(0));
    expect(of('../x')).not.toContain('/');
  });

  it.each<[string, (i: number) => Partial<LotteryTicketOptions>]>([
    ['epochs', (i) => ({ training: { ...training, epochs: 2 + i } })],
    ['the batch size', (i) => ({ training: { ...training, batchSize: 12 + i } })],
    ['the optimizer', (i) => ({ training: { ...training, optimizer: i ? 'sgd' : 'adam' } })],
    ['the learning rate', (i) => ({ training: { ...training, learningRate: 0.05 + i } })],
    [
      'the rate of a schedule',
      (i) => ({ training: { ...training, learningRate: schedules.cosine(0.05 + i) } }),
    ],
    [
      'the kind of a schedule',
      (i) => ({
        training: {
          ...training,
          learningRate: i ? schedules.constant(0.05) : schedules.cosine(0.05),
        },
      }),
    ],
    ['the loss', (i) => ({ training: { ...training, loss: i ? 'meanSquaredError' : 'hinge' } })],
    ['clipping', (i) => ({ training: { ...training, clipNorm: 1 + i } })],
    [
      'callbacks',
      (i) => ({ training: { ...training, callbacks: i ? [{ onBatchEnd() {} }] : [] } }),
    ],
    ['how often it looks', (i) => ({ evaluateEvery: 3 + i })],
    ['late rewinding', (i) => ({ rewindTo: i })],
    ['the size of the data', (i) => ({ data: blobs(48 + i) })],
    ['the size of the validation data', (i) => ({ validationData: blobs(24 + i) })],
    ['the size of the test data', (i) => ({ testData: blobs(24 + i) })],
    ['units', (i) => ({ model: hidden(8 + i) })],
    ['activations', (i) => ({ model: hidden(8, { activation: i ? 'relu' : 'tanh' }) })],
    ['initializers', (i) => ({ model: hidden(8, { kernelInitializer: i ? 'ones' : 'zeros' }) })],
  ])('is another one with other %s', async (_name, options) => {
    const [a, b] = [await names(options(0)), await names(options(1))];
    expect(a[0]).not.toBe(b[0]);
    expect(a[1]).not.toBe(b[1]);
    expect(await names(options(0))).toEqual(a);
  });

  it.each<[string, (i: number) => Partial<LotteryTicketOptions>]>([
    ['fraction', (i) => ({ fraction: i ? 0.3 : 0.2 })],
    ['fraction of a layer', (i) => ({ perLayer: { hidden: i ? 0.3 : 0.2 } })],
    ['criterion', (i) => ({ criterion: i ? criteria.travel() : criteria.magnitude() })],
  ])('is another one with another %s, but for the dense network', async (_name, options) => {
    const [a, b] = [await names(options(0)), await names(options(1))];
    expect(a[0]).toBe(b[0]);
    expect(a[1]).not.toBe(b[1]);
  });

  it('knows the fractions of layers inside others', async () => {
    const model = () => {
      const inner = tfl.sequential({
        layers: [tfl.layers.dense({ name: 'inside', units: 8, inputShape: [6] })],
      });
      const input = tfl.input({ shape: [6] });
      const output = tfl.layers.dense({ units: 3 }).apply(inner.apply(input));
      return tfl.model({ inputs: input, outputs: output as tfl.SymbolicTensor });
    };
    const of = (fraction: number) => names({ model: model(), perLayer: { inside: fraction } });
    expect((await of(0.1))[1]).not.toBe((await of(0.2))[1]);
    expect(await of(0.1)).toEqual(await of(0.1));
  });

  it.each<[string, () => tfl.LayersModel]>([
    ['a sequential model', () => hidden(4)],
    [
      'a functional model with a merge',
      () => {
        const input = tfl.input({ shape: [6] });
        const branch = () => tfl.layers.dense({ units: 4 }).apply(input) as tfl.SymbolicTensor;
        const sum = tfl.layers.add().apply([branch(), branch()]);
        const output = tfl.layers.dense({ units: 3 }).apply(sum);
        return tfl.model({ inputs: input, outputs: output as tfl.SymbolicTensor });
      },
    ],
    [
      'nested models',
      () => {
        const input = tfl.input({ shape: [6] });
        const output = tfl.layers.dense({ units: 3 }).apply(hidden(4).apply(input));
        return tfl.model({ inputs: input, outputs: output as tfl.SymbolicTensor });
      },
    ],
    [
      'wrappers and recurrent layers',
      () =>
        tfl.sequential({
          layers: [
            tfl.layers.reshape({ targetShape: [3, 2], inputShape: [6] }),
            tfl.layers.timeDistributed({ layer: tfl.layers.dense({ units: 2 }) }),
            tfl.layers.bidirectional({
              layer: tfl.layers.lstm({ units: 2, returnSequences: true }) as tfl.RNN,
              mergeMode: 'concat',
            }),
            tfl.layers.rnn({ cell: tfl.layers.gruCell({ units: 2 }) as never }),
            tfl.layers.dense({ units: 3 }),
          ],
        }),
    ],
  ])('does not depend on the numbers that tfjs gives the layers of %s', async (_name, model) => {
    const first = model();
    const second = model();
    expect(second.layers.map(({ name }) => name)).not.toEqual(first.layers.map(({ name }) => name));
    expect(await names({ model: second })).toEqual(await names({ model: first }));
  });

  it('does not depend on where tensors or a source bring the data from', async () => {
    const { xs, ys } = blobs(48, 'train');
    const source = {
      size: 48,
      batch: (indices: ArrayLike<number>) => ({
        xs: tf.gather(xs, Array.from(indices)),
        ys: tf.gather(ys, Array.from(indices)),
      }),
    };
    expect(await names({ data: source })).toEqual(await names());
    const first = await resolveLottery(small());
    expect((await resolveLottery(small({ data: source }))).fingerprint).toBe(first.fingerprint);
  });
});
