import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import { data, type LotteryBranch } from 'thimble';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { NETWORKS, type NetworkName, network } from '../shared/networks.ts';
import { describeRun } from '../shared/run-record.ts';
import { type ExperimentOptions, fractionsOf, PRESETS, runExperiment } from './experiment.ts';
import { type Report, table, textReport, writeReport } from './report.ts';

let folder: string;
let options: ExperimentOptions;

beforeAll(async () => {
  await tf.setBackend('thimble');
  folder = await mkdtemp(join(tmpdir(), 'thimble-example-'));
  const { train, test } = await data.syntheticDigits({ train: 600, test: 200, onProgress: false });
  const preset = {
    epochs: 1,
    rounds: 2,
    controls: [
      { controls: ['reinit' as const], rounds: [1, 2] },
      { controls: ['random' as const, 'signOnly' as const], rounds: [2] },
    ],
  };
  const branches = join(folder, 'branches');
  options = {
    model: 'lenet300',
    preset,
    train,
    test,
    seeds: [0],
    folder: branches,
    progress: false,
  };
});
afterAll(() => rm(folder, { recursive: true }));

test('the networks have the weights that the papers count', () => {
  // 784-300-100-10; LeNet-5 of Caffe, 20-50-500-10 with 5 x 5 windows; Conv-2 and Conv-4 on 28 x 28.
  const weights: Record<NetworkName, number> = {
    lenet300: 266_200,
    lenet5: 430_500,
    conv2: 9 * (64 + 64 * 64) + 14 * 14 * 64 * 256 + 256 * 256 + 2560,
    conv4: 9 * (64 + 64 * 64 + 64 * 128 + 128 * 128) + 7 * 7 * 128 * 256 + 256 * 256 + 2560,
  };
  expect(Object.keys(weights)).toEqual(NETWORKS);
  for (const name of NETWORKS) {
    const model = network(name, 0);
    const kernels = model.weights.filter(({ originalName }) => originalName.endsWith('/kernel'));
    const size = ({ shape }: { shape: (number | null)[] }) =>
      (shape as number[]).reduce((a, b) => a * b, 1);
    expect(
      kernels.reduce((sum, kernel) => sum + size(kernel), 0),
      name,
    ).toBe(weights[name]);
    expect(model.outputs[0]!.shape).toEqual([null, 10]);
    model.dispose();
  }
  expect(network('lenet5', 0).countParams()).toBe(431_080);
});

describe('an experiment', () => {
  test('compares tickets with controls, and reads what is finished at the second call', async () => {
    const branches = await runExperiment(options);
    expect(branches.map(({ kind, round }) => `${kind} ${round}`).sort()).toEqual([
      'random 2',
      'reinit 1',
      'reinit 2',
      'signOnly 2',
      'ticket 0',
      'ticket 1',
      'ticket 2',
    ]);
    // (0.8^k * 265,200 + 0.9^k * 1,000) of 266,200 weights.
    for (const { round, remaining } of branches) {
      const left = (0.8 ** round * 265_200 + 0.9 ** round * 1000) / 266_200;
      expect(remaining).toBeCloseTo(left, 5);
    }
    for (const { testAccuracy, steps } of branches) {
      expect(steps).toBe(10); // 550 images in batches of 60
      expect(testAccuracy).toBeGreaterThanOrEqual(0);
      expect(testAccuracy).toBeLessThanOrEqual(1);
    }
    const times = async () => {
      const files = (await readdir(options.folder)).sort();
      return Promise.all(
        files.map(async (file) => (await stat(join(options.folder, file))).mtimeMs),
      );
    };
    const written = await times();
    expect(written).toHaveLength(7);
    expect(await runExperiment(options)).toEqual(branches);
    expect(await times()).toEqual(written);
    // More seeds in the same folder: what is there stays.
    const more = await runExperiment({ ...options, seeds: [0, 1], preset: dense });
    expect(more.slice(0, 2)).toEqual(branches.slice(0, 2));
    expect(more.map(({ seed }) => seed)).toEqual([0, 0, 1, 1]);
  });
  const dense = { epochs: 1, rounds: 1, controls: [{ controls: [], rounds: [] }] };

  test('prunes convolutions at the rate of their network', () => {
    // Frankle and Carbin, figure 2: Conv-2 and Conv-4 lose 10 % of their convolutions in a round.
    const of = (name: NetworkName) => fractionsOf(name, network(name, 0));
    expect(of('lenet300')).toEqual({ output: 0.1 });
    expect(of('lenet5')).toEqual({ conv1: 0.2, conv2: 0.2, output: 0.1 });
    expect(of('conv2')).toEqual({ conv1: 0.1, conv2: 0.1, output: 0.1 });
    expect(of('conv4')).toEqual({ conv1: 0.1, conv2: 0.1, conv3: 0.1, conv4: 0.1, output: 0.1 });
  });

  test('has presets that reach 21 % and 3.6 % of the weights', () => {
    for (const [name, { rounds, controls }] of Object.entries(PRESETS)) {
      expect(rounds, name).toBeGreaterThanOrEqual(15);
      const known = controls.flatMap((each) =>
        each.controls.map((control) => [control, each.rounds]),
      );
      const reinit = known.find(([control]) => control === 'reinit')!;
      expect(reinit[1], name).toEqual(expect.arrayContaining([7, 15]));
    }
  });
});

describe('the report', () => {
  const branch = (given: Partial<LotteryBranch>): LotteryBranch => ({
    seed: 0,
    kind: 'ticket',
    round: 0,
    remaining: 1,
    curve: [{ step: 100, loss: 0.5, accuracy: 0.9 }],
    earlyStop: 100,
    validationAccuracy: 0.9,
    testAccuracy: 0.95,
    finalTestAccuracy: 0.94,
    finalValidationAccuracy: 0.9,
    steps: 200,
    seconds: 1.5,
    ...given,
  });
  const report = (branches: LotteryBranch[], seeds: number[]): Report => ({
    run: describeRun('npm run lottery-ticket'),
    model: 'lenet300',
    preset: 'quick',
    data: { source: 'synthetic digits', synthetic: true, train: 600, test: 200 },
    seeds,
    branches,
  });
  const ticket = { round: 1, remaining: 0.8 };
  const branches = [
    branch({}),
    branch({ ...ticket, kind: 'reinit' }),
    branch(ticket),
    branch({ seed: 1, earlyStop: 200, testAccuracy: 0.97 }),
    branch({ ...ticket, kind: 'reinit', seed: 1 }),
    branch({ ...ticket, seed: 1 }),
  ];

  test('has mean and spread of every network, tickets before controls', () => {
    // Steps 100 and 200: mean 150, sample standard deviation 70.7; errors 5 and 3 %: 4 and 1.41.
    expect(table({ branches }).slice(1)).toEqual([
      ['dense', '100.0', '150 ± 71', '4.00 ± 1.41', '6.00 ± 0.00'],
      ['winning ticket', '80.0', '100 ± 0', '5.00 ± 0.00', '6.00 ± 0.00'],
      ['drawn anew', '80.0', '100 ± 0', '5.00 ± 0.00', '6.00 ± 0.00'],
    ]);
    expect(textReport(report(branches, [0, 1]))).toContain(
      'standard deviation over the seeds 0, 1.',
    );
    expect(textReport(report(branches.slice(0, 3), [0]))).toContain('Seed 0.');
    expect(table({ branches: branches.slice(0, 1) })[1]![2]).toBe('100');
  });

  test('is a page with charts, and a record without the curves', async () => {
    const written = report(branches, [0, 1]);
    const html = await readFile(await writeReport(written, folder), 'utf8');
    expect(html.match(/<svg/g)).toHaveLength(2);
    expect(html).toContain('synthetic digits; 600 training and 200 test images');
    expect(html).toContain('winning ticket');
    const kept = JSON.parse(await readFile(join(folder, 'result.json'), 'utf8'));
    const { branches: rows, ...rest } = JSON.parse(JSON.stringify(written)) as Report;
    expect(kept).toEqual({ ...rest, branches: rows.map(({ curve: _, ...row }) => row) });
  });
});
