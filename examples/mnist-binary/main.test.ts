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

test('every network learns the synthetic digits better than chance; the same seed gives the same errors', async () => {
  const { train, test } = await data.syntheticDigits({ train: 1000, test: 300, onProgress: false });
  // Eighty steps for LeNet-5: it takes as many until moving averages have forgotten where they began.
  const preset = {
    units: { perceptron: 64, bnn: 64 },
    epochs: { binaryConnect: 4, xnor: 8, bnn: 4 },
  };
  const options = { preset, train, test, seed: 0, progress: false };
  const results = await runExperiment(options);
  expect(results).toHaveLength(8);
  for (const { name, errors, testSize } of results) {
    expect(testSize).toBe(300);
    expect(errors, name).toBeLessThan(235); // guessing gives 270
  }
  const again = await runExperiment({ ...options, parts: ['bnn'] });
  expect(again.map(({ name, errors }) => ({ name, errors }))).toEqual(
    results.slice(6).map(({ name, errors }) => ({ name, errors })),
  );
  const report = {
    run: describeRun('npm run mnist-binary'),
    preset: 'quick',
    data: { source: 'synthetic digits', synthetic: true, train: 1000, test: 300 },
    seeds: [0],
    results: [results],
  };
  const path = await writeReport(report, folder);
  expect(await readFile(path, 'utf8')).toContain('1,000 training and 300 test images');
  expect(textReport(report).split('\n')).toHaveLength(11);
  const kept = JSON.parse(await readFile(join(folder, 'result.json'), 'utf8'));
  expect(kept).toEqual(JSON.parse(JSON.stringify(report)));
}, 240_000);
