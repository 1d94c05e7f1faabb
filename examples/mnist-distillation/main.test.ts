import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import { data } from 'thimble';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { describeRun } from '../shared/run-record.ts';
import { meanAndSpread, textTable } from '../shared/table.ts';
import type { RunOptions } from './experiment.ts';
import { convTeacher, mlp } from './models.ts';
import { priorMatchingBias, runPaper } from './paper.ts';
import { runQuick } from './quick.ts';
import { textReport, writeReport } from './report.ts';

let folder: string;
let options: RunOptions;

beforeAll(async () => {
  await tf.setBackend('thimble');
  folder = await mkdtemp(join(tmpdir(), 'thimble-example-'));
  const { train, test } = await data.syntheticDigits({ train: 1200, test: 300, onProgress: false });
  options = { train, test, seed: 0, progress: false, checkpoints: folder };
});
afterAll(() => rm(folder, { recursive: true }));

test('the networks are those of the papers', () => {
  // Conv teacher: 5*5*16+16 + 3*3*16*32+32 + 7*7*32*128+128 + 128*10+10.
  expect(convTeacher(0).countParams()).toBe(416 + 4640 + 200_832 + 1290);
  // 784-1200-1200-10 and 784-800-800-10, weights and biases.
  expect(mlp(0, { name: 'a', hidden: [1200, 1200] }).countParams()).toBe(2_395_210);
  expect(mlp(0, { name: 'b', hidden: [800, 800] }).countParams()).toBe(1_276_810);
});

test('same seed, same networks and same errors; students start from equal weights', async () => {
  const small = { ...options, teacherEpochs: 1, studentEpochs: 1 };
  const first = await runQuick(small);
  const again = await runQuick(small);
  expect(first.map(({ name }) => name)).toEqual(['teacher', 'student alone', 'student distilled']);
  expect(again.map(({ errors, validationError }) => ({ errors, validationError }))).toEqual(
    first.map(({ errors, validationError }) => ({ errors, validationError })),
  );
  for (const { errors, testSize } of first) {
    expect(testSize).toBe(300);
    expect(errors).toBeGreaterThanOrEqual(0);
    expect(errors).toBeLessThanOrEqual(300);
  }
});

describe('the paper preset', () => {
  const paper = { teacherEpochs: 1, studentEpochs: 2, teacherUnits: 32, studentUnits: 24 };

  test('a student that never saw a 3 finds threes once its bias is corrected; it resumes', async () => {
    const results = await runPaper({ ...options, ...paper });
    expect(results.map(({ name }) => name)).toEqual([
      'teacher',
      'student alone',
      'student distilled',
      'distilled without 3s',
      'the same, bias corrected',
    ]);
    const [omitted, corrected] = results.slice(3);
    expect(corrected!.notes.errorsOnThrees).toBeLessThanOrEqual(omitted!.notes.errorsOnThrees!);
    // All trainings are finished: the second call only reads their checkpoints.
    const started = performance.now();
    const again = await runPaper({ ...options, ...paper });
    expect(again.map(({ errors }) => errors)).toEqual(results.map(({ errors }) => errors));
    expect(performance.now() - started).toBeLessThan(20_000);
  });
});

test('the bias by prior matching answers with the class exactly as often as the prior says', () => {
  // Margins (best other logit less that of class 1): 3, 1, -1, 2. Half of four: between 1 and 2.
  const logits = Float32Array.from([3, 0, 2, 1, 0, 1, 5, 3]);
  expect(priorMatchingBias(logits, 2, 1, 0.5)).toBe(1.5);
});

test('the report holds table, curves and record', async () => {
  const trained = (name: string, errors: number) => ({
    name,
    parameters: 1234,
    bytes: 4936,
    images: 1200,
    errors,
    testSize: 300,
    seconds: 1.5,
    validationError: [20, 10],
    notes: {},
  });
  const report = {
    run: describeRun('npm start'),
    preset: 'quick',
    data: { source: 'synthetic digits', synthetic: true, train: 1200, test: 300 },
    seeds: [0, 1],
    results: [[trained('teacher', 10)], [trained('teacher', 14)]],
  };
  // Mean 12, sample standard deviation sqrt(8) = 2.83.
  expect(textReport(report)).toContain('12.0 ± 2.8');
  const path = await writeReport(report, folder);
  const html = await readFile(path, 'utf8');
  expect(html).toContain('<svg');
  expect(html).toContain('synthetic digits; 1,200 training and 300 test images');
  const kept = JSON.parse(await readFile(join(folder, 'result.json'), 'utf8'));
  expect(kept).toEqual(JSON.parse(JSON.stringify(report)));
});

test('tables align', () => {
  expect(
    textTable([
      ['a', 'b'],
      ['long', '1'],
    ]),
  ).toBe('a     b\n----  -\nlong  1');
  expect(meanAndSpread([1], 1)).toBe('1.0');
});
