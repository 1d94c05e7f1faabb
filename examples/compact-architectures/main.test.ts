import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import { data, summarize } from 'thimble';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeRun } from '../shared/run-record.ts';
import {
  type ExperimentOptions,
  METHODS,
  type Outcome,
  runMethod,
  runPlain,
} from './experiment.ts';
import { plainNetwork, widthOf } from './networks.ts';
import { type Report, table, textReport, writeReport } from './report.ts';

let folder: string;
let options: ExperimentOptions;

beforeAll(async () => {
  await tf.setBackend('thimble');
  folder = await mkdtemp(join(tmpdir(), 'thimble-example-'));
  const { train, test } = await data.syntheticDigits({ train: 128, test: 50, onProgress: false });
  const preset = { images: 128, epochs: 1, fineTune: 1, rounds: 1 };
  options = { preset, train, test, seed: 0, progress: false, checkpoints: folder };
});
afterAll(() => rm(folder, { recursive: true }));

test('every method takes the multiply-accumulates that its formula says', async () => {
  const macs: Record<string, number> = {};
  for (const name of METHODS) macs[name] = (await runMethod(name, options)).macs;
  // 14 x 14 positions behind the stem, 6 x 6 behind the pooling.
  const rest = 196 * 25 * 16 + 640;
  const plain = rest + 196 * 9 * 16 * 32 + 36 * 9 * 32 * 64;
  expect(macs.plain).toBe(plain);
  expect(macs['depthwise separable (MobileNet)']).toBe(
    rest + 196 * (9 * 16 + 16 * 32) + 36 * (9 * 32 + 32 * 64),
  );
  expect(macs['fire (SqueezeNet)']).toBe(
    rest + 196 * (16 * 8 + 8 * 16 * 10) + 36 * (32 * 16 + 16 * 32 * 10),
  );
  expect(macs['groups of channels, shuffled (ShuffleNet)']).toBe(rest + (plain - rest) / 4);
  const kept = (positions: number) => Math.round(0.4 * positions) / positions;
  expect(macs['perforated, impact']).toBe(
    rest + kept(196) * 196 * 9 * 16 * 32 + kept(36) * 36 * 9 * 32 * 64,
  );
  for (const name of METHODS.filter((each) => each.startsWith('decomposed'))) {
    expect(macs[name], name).toBeLessThanOrEqual(plain / 2);
    expect(macs[name], name).toBeGreaterThan(plain / 4);
  }
}, 300_000);

test('the peer of equal cost is the plain network that comes closest', async () => {
  const model = plainNetwork(0, 0.5);
  expect(widthOf(summarize(model).total.macs)).toBe(0.5);
  const { params, testSize } = await runPlain(0.5, options);
  // Stem 8 of 5 x 5, 16, 32; norms of 4 numbers per channel; 10 units.
  expect(params).toBe(25 * 8 + 9 * 8 * 16 + 9 * 16 * 32 + 4 * (8 + 16 + 32) + 33 * 10);
  expect(testSize).toBe(50);
}, 60_000);

test('the report holds the table, the chart and the record', async () => {
  const outcome = (errors: number): Outcome => ({
    ...{ params: 1234, macs: 5_000_000, bytes: 4936, errors, testSize: 1000 },
    ...{ milliseconds: 2, relativeTime: 0.5 },
  });
  const report: Report = {
    run: describeRun('npm run compact-architectures'),
    preset: 'quick',
    data: { source: 'synthetic digits', synthetic: true, train: 600, test: 1000 },
    seeds: [0, 1],
    results: [
      { name: 'fire', outcomes: [outcome(10), outcome(14)], peers: [outcome(20), outcome(20)] },
    ],
  };
  // Mean 12, sample standard deviation 2.83; of 1000 images 1.2 and 0.28 percent.
  expect(table(report.results)[1]).toEqual([
    ...['fire', '1,234', '5,000,000', '4,936', '1.20 ± 0.28', '2.00 ± 0.00', '1,234'],
    ...['2.00 ± 0.00', '0.50 ± 0.00'],
  ]);
  expect(textReport(report)).toContain('over the seeds 0, 1.');
  const html = await readFile(await writeReport(report, folder), 'utf8');
  expect(html).toContain('<svg');
  expect(html).toContain('synthetic digits; 600 training and 1,000 test images');
  const kept = JSON.parse(await readFile(join(folder, 'result.json'), 'utf8'));
  expect(kept).toEqual(JSON.parse(JSON.stringify(report)));
});
