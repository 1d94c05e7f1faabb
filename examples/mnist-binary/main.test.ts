import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import { data, summarize } from 'thimble';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeRun } from '../shared/run-record.ts';
import { runExperiment } from './experiment.ts';
import { networks } from './networks.ts';
import { textReport, writeReport } from './report.ts';

let folder: string;

beforeAll(async () => {
  await tf.setBackend('thimble');
  folder = await mkdtemp(join(tmpdir(), 'thimble-example-'));
});
afterAll(() => rm(folder, { recursive: true }));

test('binary weights take one bit each, those of their twins 32', () => {
  const all = networks(0, { perceptron: 48, bnn: 32 });
  const kernelBits = (name: string) => {
    const model = all.find((entry) => entry.name === name)!.make();
    const { layers } = summarize(model);
    model.dispose();
    return layers.filter(({ op }) => /dense/i.test(op)).reduce((sum, { bits }) => sum + bits, 0);
  };
  const mlp = 784 * 48 + 2 * 48 ** 2 + 48 * 10;
  expect(kernelBits('MLP, float')).toBe(32 * mlp);
  expect(kernelBits('MLP, BinaryConnect deterministic')).toBe(mlp);
  expect(kernelBits('MLP, BinaryConnect stochastic')).toBe(32 * mlp);
  // Signs, and a normalisation of four values for every input of the three xnor layers.
  const bnn = 784 * 32 + 2 * 32 ** 2 + 32 * 10;
  expect(kernelBits('BNN')).toBe(bnn + 3 * 4 * 32 * 32);
});

test('every network learns the synthetic digits; the same seed gives the same errors', async () => {
  const { train, test } = await data.syntheticDigits({ train: 600, test: 300, onProgress: false });
  // Small batches: LeNet-5 takes eighty steps until moving averages have forgotten where they began.
  const preset = {
    units: { perceptron: 64, bnn: 64 },
    epochs: { binaryConnect: 8, xnor: 4, bnn: 8 },
    batchSize: 30,
  };
  const options = { preset, train, test, seed: 0, progress: false };
  const results = await runExperiment(options);
  // Errors of 300; guessing gives 270, which a network that does not learn, or one whose statistics or clipping
  // are off, comes near to. Other seeds differ by a quarter.
  const most: Record<string, number> = {
    'MLP, float': 100,
    'MLP, float, dropout': 160,
    'MLP, BinaryConnect deterministic': 100,
    'MLP, BinaryConnect stochastic': 195,
    'LeNet-5, float': 45,
    'LeNet-5, XNOR': 70,
    'BNN twin, float': 100,
    BNN: 145,
  };
  expect(results.map(({ name }) => name)).toEqual(Object.keys(most));
  for (const { name, errors, testSize } of results) {
    expect(testSize).toBe(300);
    expect(errors, name).toBeLessThan(most[name]!);
  }
  const again = await runExperiment({ ...options, parts: ['bnn'] });
  expect(again.map(({ name, errors }) => ({ name, errors }))).toEqual(
    results.slice(6).map(({ name, errors }) => ({ name, errors })),
  );
  const report = {
    run: describeRun('npm run mnist-binary'),
    preset: 'quick',
    data: { source: 'synthetic digits', synthetic: true, train: 600, test: 300 },
    seeds: [0],
    results: [results],
  };
  const path = await writeReport(report, folder);
  expect(await readFile(path, 'utf8')).toContain('600 training and 300 test images');
  expect(textReport(report).split('\n')).toHaveLength(11);
  const kept = JSON.parse(await readFile(join(folder, 'result.json'), 'utf8'));
  expect(kept).toEqual(JSON.parse(JSON.stringify(report)));
}, 120_000);
