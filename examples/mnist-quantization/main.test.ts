import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import { data } from 'thimble';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeRun } from '../shared/run-record.ts';
import { type ExperimentOptions, type Outcome, runExperiment } from './experiment.ts';
import { type Report, table, textReport, writeReport } from './report.ts';

let folder: string;
let options: ExperimentOptions;

beforeAll(async () => {
  await tf.setBackend('thimble');
  folder = await mkdtemp(join(tmpdir(), 'thimble-example-'));
  const { train, test } = await data.syntheticDigits({ train: 240, test: 200, onProgress: false });
  const preset = { epochs: 1, examples: 32, iterations: 1, fineTune: 1 };
  options = { preset, train, test, seed: 0, progress: false, checkpoints: folder };
});
afterAll(() => rm(folder, { recursive: true }));

test('the forms have the bytes that their bits take', async () => {
  const outcomes = await runExperiment(options);
  // LeNet-5: 430,500 weights and 580 biases; per channel 580 scales of 32 bits and zero points.
  const integer = (bits: number, scales: number) =>
    Math.ceil((430_500 * bits + 580 * 32 + scales * (32 + bits)) / 8);
  expect(outcomes.map(({ name, bits, bytes }) => [name, bits, bytes])).toEqual([
    ['float32', 32, 4 * 431_080],
    ['float16', 16, 2 * 431_080],
    ['int8, one range per layer', 8, integer(8, 4)],
    ['int8, one range per channel', 8, integer(8, 580)],
    ['int4, rounded to nearest', 4, integer(4, 580)],
    ['int4, AdaRound', 4, integer(4, 580)],
    ['int8, trained', 8, integer(8, 580)],
    ['int4, trained', 4, integer(4, 580)],
  ]);
  const [float, half, , eight] = outcomes;
  // Half precision and 8 bits answer nearly everything alike.
  for (const outcome of [half!, eight!]) {
    expect(Math.abs(outcome.errors - float!.errors)).toBeLessThanOrEqual(4);
    expect(outcome.testSize).toBe(200);
  }
}, 180_000);

test('the report holds the table and the record', async () => {
  const outcome = (name: string, bytes: number, errors: number): Outcome => ({
    name,
    bits: 8,
    bytes,
    errors,
    testSize: 1000,
    seconds: 2,
  });
  const report: Report = {
    run: describeRun('npm run mnist-quantization'),
    preset: 'quick',
    data: { source: 'synthetic digits', synthetic: true, train: 600, test: 1000 },
    seeds: [0, 1],
    results: [
      [outcome('float32', 4000, 10), outcome('int8', 1000, 12)],
      [outcome('float32', 4000, 14), outcome('int8', 1000, 12)],
    ],
  };
  // Mean 12, sample standard deviation sqrt(8) = 2.83; of 1000 images 1.2 and 0.28 percent.
  expect(table(report).slice(1)).toEqual([
    ['float32', '8', '4,000', '1.00', '12.0 ± 2.8', '1.20 ± 0.28', '2.0 ± 0.0'],
    ['int8', '8', '1,000', '4.00', '12.0 ± 0.0', '1.20 ± 0.00', '2.0 ± 0.0'],
  ]);
  expect(textReport(report)).toContain('over the seeds 0, 1.');
  const html = await readFile(await writeReport(report, folder), 'utf8');
  expect(html).toContain('synthetic digits; 600 training and 1,000 test images');
  const kept = JSON.parse(await readFile(join(folder, 'result.json'), 'utf8'));
  expect(kept).toEqual(JSON.parse(JSON.stringify(report)));
});
