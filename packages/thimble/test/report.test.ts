import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  compress,
  data,
  encode,
  evaluate,
  fit,
  type Report,
  report,
  reportTable,
  steps,
  summarize,
  withSeed,
} from 'thimble';
import { beforeAll, describe, expect, test } from 'vitest';

const quiet = { progress: false } as const;

function network(): tfl.Sequential {
  return withSeed(1, () =>
    tfl.sequential({
      layers: [
        tfl.layers.conv2d({
          filters: 4,
          kernelSize: 5,
          strides: 3,
          activation: 'relu',
          inputShape: [28, 28, 1],
        }),
        tfl.layers.flatten(),
        tfl.layers.dense({ name: 'output', units: 10, activation: 'softmax' }),
      ],
    }),
  );
}

describe('of classes', () => {
  let model: tfl.Sequential;
  let digits: data.TrainAndTest;
  let found: Report;
  let bytes: Uint8Array;

  beforeAll(async () => {
    await tf.setBackend('thimble');
    digits = await data.syntheticDigits({ train: 800, test: 200, onProgress: false });
    model = network();
    await fit(model, digits.train, {
      epochs: 8,
      loss: 'categoricalCrossentropy',
      seed: 1,
      ...quiet,
    });
    const compressed = await compress(model, {
      data: digits.train,
      steps: [steps.prune({ sparsity: 0.9, epochs: 0 }), steps.encode()],
      ...quiet,
    });
    bytes = compressed.bytes;
    const tensors = tf.memory().numTensors;
    const options = { robustness: 60, maps: 2, repeats: 5, ...quiet };
    found = await report(model, compressed, digits.test, options);
    expect(tf.memory().numTensors).toBe(tensors);
    compressed.model.dispose();
  });

  test('accuracy is that of evaluate, by class it adds up', async () => {
    const { accuracy } = await evaluate(model, digits.test, {
      loss: 'categoricalCrossentropy',
      metrics: 'accuracy',
      ...quiet,
    });
    expect(found.before.accuracy).toBeCloseTo(accuracy!, 6);
    const { perClass = [] } = found.before;
    const right = perClass.reduce((sum, each) => sum + each.examples * each.accuracy, 0);
    expect(right / 200).toBeCloseTo(accuracy!, 6);
    expect(found.after.accuracy).toBeLessThan(accuracy!);
    const drops = perClass.map((each, i) => each.accuracy - found.after.perClass![i]!.accuracy);
    expect(found.worstClass!.drop).toBeCloseTo(Math.max(...drops), 9);
  });

  test('costs are those of summarize, bytes those of the file', () => {
    const { total } = summarize(model);
    expect(found.before).toMatchObject({ params: total.params, macs: total.macs });
    expect(found.after.bytes).toBe(bytes.length);
    expect(found.after.ratio).toBeCloseTo((4 * total.params) / bytes.length, 9);
    const output = found.after.layers.find(({ name }) => name === 'output')!;
    // 2,560 weights, a tenth is left, and 10 biases.
    expect(output.sparsity).toBeCloseTo((2560 * 0.9) / 2570, 6);
    expect(found.before.sparsity).toBeLessThan(0.01);
    expect(found.after.energy.total).toBeLessThan(found.before.energy.total / 3);
    expect(found.after.speed.engine).toBe('packed');
    expect(found.after.speed.median).toBeGreaterThan(0);
  });

  test('attacks fool, stronger ones more', () => {
    for (const { robustness } of [found.before, found.after]) {
      const { clean, noise, fgsm, pgd, shift } = robustness!;
      expect(noise.map(({ strength }) => strength)).toEqual([0.1, 0.2, 0.4]);
      expect(fgsm[0]!.score).toBeLessThan(clean);
      expect(fgsm[2]!.score).toBeLessThanOrEqual(fgsm[0]!.score);
      expect(pgd[0]!.score).toBeLessThanOrEqual(fgsm[1]!.score);
      expect(shift).toBeLessThan(clean);
    }
    expect(found.strengths).toMatchObject({ examples: 60, range: [0, 1] });
  });

  test('has saliency maps of images, scaled to 1', () => {
    expect(found.saliency.map(({ example }) => example)).toEqual([0, 100]);
    for (const { shape, image, before, after } of found.saliency) {
      expect(shape).toEqual([28, 28]);
      expect(Math.max(...before.map)).toBe(1);
      expect(Math.max(...after.map)).toBe(1);
      expect(after.map).not.toEqual(before.map);
      expect(Math.max(...image)).toBeGreaterThan(0.5);
    }
  });

  test('is plain data, and a table', () => {
    expect(JSON.parse(JSON.stringify(found))).toEqual(found);
    const table = reportTable(found);
    for (const text of [
      'accuracy',
      'ECE',
      'FGSM 0.1',
      'PGD, 10 steps, 0.1',
      'shifted data',
      'output',
      'microjoules',
      'Horowitz',
    ]) {
      expect(table).toContain(text);
    }
  });

  test('takes files alone, and the same seed gives the same figures', async () => {
    const options = {
      robustness: 20,
      maps: 0,
      repeats: 1,
      shift: false,
      seed: 4,
      ...quiet,
    } as const;
    const plain = await encode(model, quiet);
    const one = await report(plain, bytes, digits.test, options);
    const two = await report(model, bytes, digits.test, options);
    expect(one.before.accuracy).toBeCloseTo(two.before.accuracy!, 6);
    expect(one.after.robustness).toEqual(two.after.robustness);
    expect(one.saliency).toEqual([]);
    expect(one.after.robustness!.shift).toBeUndefined();
  });

  test('refuses what it cannot do, and stops when told', async () => {
    const bad = report(model, model, digits.test, { bin: 3 } as never);
    await expect(bad).rejects.toThrow(/unknown option "bin"/);
    const strong = report(model, model, digits.test, { strengths: { noise: [2] } });
    await expect(strong).rejects.toThrow(/strengths.noise must be a number from 0 to 1/);
    const reason = new Error('enough');
    const signal = AbortSignal.abort(reason);
    await expect(report(model, model, digits.test, { signal, ...quiet })).rejects.toBe(reason);
  });
});

test('of regression: errors in the units of the labels', async () => {
  await tf.setBackend('thimble');
  const times = (w: number) =>
    tfl.sequential({
      layers: [
        tfl.layers.dense({
          units: 1,
          inputShape: [1],
          weights: [tf.tensor2d([[w]]), tf.zeros([1])],
        }),
      ],
    });
  // y = 2x for x = 0, 1, 2, 3; with 3x the errors are 0, 1, 2, 3: mean 1.5, root of the mean square sqrt(14 / 4).
  const examples = { xs: Float32Array.of(0, 1, 2, 3), ys: Float32Array.of(0, 2, 4, 6) };
  const found = await report(times(2), times(3), examples, {
    loss: 'meanSquaredError',
    repeats: 2,
    ...quiet,
  });
  expect(found).toMatchObject({
    task: 'numbers',
    before: { mae: 0, rmse: 0 },
    after: { mae: 1.5 },
  });
  expect(found.after.rmse).toBeCloseTo(Math.sqrt(3.5), 6);
  expect(found.after.robustness!.clean).toBeCloseTo(Math.sqrt(3.5), 6);
  expect(found.after.accuracy).toBeUndefined();
  // Range 3, so epsilon 0.1 is 0.3. At x = 3 upwards would leave the range, and the gradient at 0 is 0:
  // errors 0, 1.3, 2.3, 3 of 3x.
  const [, fgsm] = found.after.robustness!.fgsm;
  expect(fgsm!.score).toBeCloseTo(
    Math.sqrt((0 + (3 * 1.3 - 2) ** 2 + (3 * 2.3 - 4) ** 2 + 9) / 4),
    4,
  );
  expect(reportTable(found)).toContain('mean absolute error');
});
