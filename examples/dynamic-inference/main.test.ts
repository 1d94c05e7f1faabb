import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import { data } from 'thimble';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeRun } from '../shared/run-record.ts';
import { runExperiment, WIDTHS } from './experiment.ts';
import { type Report, table, textReport, writeReport } from './report.ts';

let folder: string;

beforeAll(async () => {
  await tf.setBackend('thimble');
  folder = await mkdtemp(join(tmpdir(), 'thimble-example-'));
});
afterAll(() => rm(folder, { recursive: true }));

test('every width, exit and budget is measured, and reported', async () => {
  const { train, test } = await data.syntheticDigits({ train: 1200, test: 200, onProgress: false });
  const preset = { filters: 8, epochs: 2, joint: 2, timed: 100, repeats: 1 };
  const points = await runExperiment({ preset, train, test, seed: 0, progress: false });
  const perWidth = points.length / WIDTHS.length;
  expect(perWidth).toBe(6);
  for (const [i, width] of WIDTHS.entries()) {
    const [first, second, last, ...budgets] = points.slice(i * perWidth);
    const c = 8 * width;
    const h = 32 * width;
    const fine = 196 * 9 * (c + c * c) + 196 * c * h + 10 * h;
    const middle = 49 * 9 * (2 * c * c + 4 * c * c) + 49 * 2 * c * h + 10 * h;
    const coarse = 16 * 9 * (8 * c * c + 32 * c * c) + 10 * 8 * c;
    expect([first!.macs, second!.macs, last!.macs]).toEqual([
      fine,
      fine + middle,
      fine + middle + coarse,
    ]);
    for (const point of budgets.slice(0, 3)) {
      expect(point.series).toBe(`width ${width}, when it is sure`);
      expect(point.macs).toBeGreaterThanOrEqual(first!.macs);
      expect(point.macs).toBeLessThanOrEqual(last!.macs);
    }
  }
  for (const { series, errors, milliseconds, testSize } of points) {
    expect(testSize).toBe(200);
    // Guessing gives 180; two channels learn little in so few steps.
    if (series.startsWith('width 1,')) expect(errors).toBeLessThan(150);
    expect(milliseconds).toBeGreaterThan(0);
  }
  const report: Report = {
    run: describeRun('npm run dynamic-inference'),
    preset: 'quick',
    data: { source: 'synthetic digits', synthetic: true, train: 1200, test: 200 },
    seeds: [0],
    results: [points],
  };
  expect(table(report)).toHaveLength(19);
  expect(textReport(report)).toContain('Seed 0.');
  const html = await readFile(await writeReport(report, folder), 'utf8');
  expect(html.match(/<svg/g)).toHaveLength(2);
  const kept = JSON.parse(await readFile(join(folder, 'result.json'), 'utf8'));
  expect(kept).toEqual(JSON.parse(JSON.stringify(report)));
}, 180_000);
