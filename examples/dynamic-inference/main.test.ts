import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import { data } from 'thimble';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeRun } from '../shared/run-record.ts';
import { runExperiment } from './experiment.ts';
import { type Report, table, textReport, writeReport } from './report.ts';

let folder: string;

beforeAll(async () => {
  await tf.setBackend('thimble');
  folder = await mkdtemp(join(tmpdir(), 'thimble-example-'));
});
afterAll(() => rm(folder, { recursive: true }));

test('every exit and every budget is measured, and reported', async () => {
  const { train, test } = await data.syntheticDigits({ train: 1200, test: 200, onProgress: false });
  const preset = { filters: 4, epochs: 2, joint: 2, timed: 100, repeats: 1 };
  const points = await runExperiment({ preset, train, test, seed: 0, progress: false });
  const [first, second, last, ...budgets] = points;
  // fine1 14*14*9*4, fine2 14*14*9*16, exit1 784*32 + 320; then middle 7*7*9*(4*8 + 8*8), exit2 392*32 + 320;
  // then coarse 4*4*9*(8*16 + 16*32), output 320.
  const costs = [7056 + 28_224 + 25_408, 42_336 + 12_864, 92_160 + 320];
  expect(first!.macs).toBe(costs[0]);
  expect(second!.macs).toBe(costs[0]! + costs[1]!);
  expect(last!.macs).toBe(costs[0]! + costs[1]! + costs[2]!);
  expect(budgets).toHaveLength(3);
  for (const point of budgets) {
    expect(point.series).toMatch(/sure/);
    expect(point.macs).toBeGreaterThanOrEqual(first!.macs);
    expect(point.macs).toBeLessThanOrEqual(last!.macs);
  }
  for (const { errors, milliseconds, testSize } of points) {
    expect(testSize).toBe(200);
    expect(errors).toBeLessThan(170); // guessing gives 180
    expect(milliseconds).toBeGreaterThan(0);
  }
  const report: Report = {
    run: describeRun('npm run dynamic-inference'),
    preset: 'quick',
    data: { source: 'synthetic digits', synthetic: true, train: 1200, test: 200 },
    seeds: [0],
    results: [points],
  };
  expect(table(report)).toHaveLength(7);
  expect(textReport(report)).toContain('Seed 0.');
  const html = await readFile(await writeReport(report, folder), 'utf8');
  expect(html.match(/<svg/g)).toHaveLength(2);
  const kept = JSON.parse(await readFile(join(folder, 'result.json'), 'utf8'));
  expect(kept).toEqual(JSON.parse(JSON.stringify(report)));
}, 180_000);
