import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { OptionError, Random, ShapeError, UnsupportedError, withSeed } from '@thimble/base';
import { fit } from '@thimble/core';
import { distill, distillationCallback, softTargetDivergence } from '@thimble/distillation';
import { expectNoLeaks, useCpu } from '@thimble/testing';
import { describe, expect, test } from 'vitest';

useCpu();

const CLASSES = 3;
const INPUTS = 4;

interface NetOptions {
  units?: number[];
  softmax?: boolean;
  dropout?: boolean;
  inputs?: number;
  classes?: number;
}

function net(seed: number, options: NetOptions = {}): tfl.Sequential {
  const { units = [], softmax = false, dropout = false } = options;
  const { inputs = INPUTS, classes = CLASSES } = options;
  return withSeed(seed, () => {
    const model = tfl.sequential({
      layers: [tfl.layers.activation({ activation: 'linear', inputShape: [inputs] })],
    });
    for (const n of units) model.add(tfl.layers.dense({ units: n, activation: 'tanh' }));
    if (dropout) model.add(tfl.layers.dropout({ rate: 0.5 }));
    model.add(tfl.layers.dense({ units: classes, ...(softmax ? { activation: 'softmax' } : {}) }));
    return model;
  });
}

/** Points of three classes: the largest of the first three coordinates. */
function points(count: number, seed = 1): { xs: tf.Tensor2D; ys: tf.Tensor2D } {
  const random = new Random(seed);
  const values = Float32Array.from({ length: count * INPUTS }, () => random.normal());
  const xs = tf.tensor2d(values, [count, INPUTS]);
  const ys = tf.tidy(() => {
    const label = tf.argMax(tf.slice(xs, [0, 0], [-1, CLASSES]), -1);
    return tf.cast(tf.oneHot(label, CLASSES), 'float32') as tf.Tensor2D;
  });
  return { xs, ys };
}

function divergence(student: tfl.LayersModel, teacher: tfl.LayersModel, x: tf.Tensor): number {
  return tf.tidy(() => {
    const logits = student.predict(x) as tf.Tensor;
    return tf
      .mean(softTargetDivergence(logits, [teacher.predict(x) as tf.Tensor], 2))
      .dataSync()[0]!;
  });
}

const quiet = { progress: false, batchSize: 16, seed: 3 } as const;

describe('distill', () => {
  test('the student comes to answer as the teacher does, also where the labels say otherwise', async () => {
    const { xs } = points(96);
    // Labels that have nothing to do with the teacher: at alpha 1 they must not matter.
    const ys = tf.tidy(() => tf.cast(tf.oneHot(tf.zeros([96], 'int32'), CLASSES), 'float32'));
    const teacher = net(1);
    const student = net(2);
    const before = divergence(student, teacher, xs);
    const { history } = await distill({
      ...quiet,
      teacher,
      student,
      data: { xs, ys },
      temperature: 2,
      alpha: 1,
      epochs: 40,
      optimizer: tf.train.adam(0.05),
    });
    const after = divergence(student, teacher, xs);
    expect(after).toBeLessThan(before / 100);
    expect(history.logs.loss!.at(-1)).toBeLessThan(history.logs.loss![0]!);
  });

  test('alpha 0 is plain training on the labels, to the last bit', async () => {
    const data = points(64);
    const [alone, pupil] = [net(5), net(5)];
    await distill({ ...quiet, teacher: net(1), student: pupil, data, alpha: 0, epochs: 2 });
    await fit(alone, data, {
      ...quiet,
      epochs: 2,
      loss: 'categoricalCrossentropyFromLogits',
    });
    expect(pupil.getWeights()[0]).toBeAllClose(alone.getWeights()[0]!, 0);
  });

  test('a teacher that ends in a softmax teaches the same as one that gives logits', async () => {
    const data = points(64);
    const students = [net(5), net(5)];
    for (const [i, student] of students.entries()) {
      const teacher = net(1, { softmax: i === 1 });
      await distill({ ...quiet, teacher, student, data, temperature: 3, epochs: 3 });
    }
    expect(students[0]!.getWeights()[0]).toBeAllClose(students[1]!.getWeights()[0]!, 1e-4);
  });

  test('a student that ends in a softmax learns the same as one that gives logits', async () => {
    const data = points(64);
    const kernels = [];
    for (const softmax of [false, true]) {
      const student = net(5, { softmax });
      await distill({
        ...quiet,
        teacher: net(1),
        student,
        data,
        temperature: 3,
        epochs: 3,
        optimizer: tf.train.sgd(0.1),
      });
      kernels.push(student.getWeights()[0]!);
    }
    expect(kernels[0]).toBeAllClose(kernels[1]!, 1e-4);
  });

  test('the teacher is left as it was, and its dropout is off', async () => {
    const data = points(64);
    const teacher = net(1, { units: [8], dropout: true });
    const calm = net(1, { units: [8] });
    const weights = teacher.getWeights().map((w) => w.dataSync().slice());
    const students = [net(5), net(5)];
    await distill({ ...quiet, teacher, student: students[0]!, data, epochs: 2 });
    await distill({ ...quiet, teacher: calm, student: students[1]!, data, epochs: 2 });
    expect(students[0]!.getWeights()[0]).toBeAllClose(students[1]!.getWeights()[0]!, 0);
    expect(teacher.getWeights().map((w) => w.dataSync())).toEqual(weights);
  });

  test('data that varies is shown to the teacher batch by batch', async () => {
    const { xs, ys } = points(64);
    const shifted: number[] = [];
    const source = {
      size: 64,
      varies: true,
      batch(indices: ArrayLike<number>, random?: Random) {
        const rows = tf.tensor1d(Int32Array.from(indices), 'int32');
        const shift = random?.normal() ?? 0;
        shifted.push(shift);
        const batch = { xs: tf.add(tf.gather(xs, rows), shift), ys: tf.gather(ys, rows) };
        rows.dispose();
        return batch;
      },
    };
    const teacher = net(1);
    const student = net(1);
    // The student starts as the teacher's twin. Were the teacher shown other points than the student,
    // they would disagree and the loss would not be 0.
    const { history } = await distill({
      ...quiet,
      teacher,
      student,
      data: source,
      alpha: 1,
      epochs: 1,
    });
    expect(new Set(shifted).size).toBeGreaterThan(2);
    expect(Math.abs(history.logs.loss![0]!)).toBeLessThan(1e-4);
  });

  test('an ensemble: two opposite teachers teach indifference', async () => {
    const { xs, ys } = points(96);
    const one = net(1);
    const other = net(1);
    tf.tidy(() => other.setWeights(one.getWeights().map((w) => tf.neg(w))));
    const student = net(2);
    await distill({
      ...quiet,
      teacher: [one, other],
      student,
      data: { xs, ys },
      temperature: 50,
      alpha: 1,
      epochs: 40,
      optimizer: tf.train.adam(0.05),
    });
    // At a high temperature softmax is linear, so opposite logits average to equal probabilities.
    const logits = student.predict(xs) as tf.Tensor;
    const centred = tf.sub(logits, tf.mean(logits, -1, true));
    expect(tf.max(tf.abs(centred)).dataSync()[0]).toBeLessThan(0.3);
  });

  test('leaks nothing', async () => {
    const data = points(32);
    const teacher = net(1);
    const student = net(2);
    await expectNoLeaks(() => distill({ ...quiet, teacher, student, data, epochs: 1 }));
  });

  test('refuses pairs that cannot work, before anything is trained', async () => {
    const data = points(32);
    const student = net(2);
    const other = { ...quiet, student, data, epochs: 1 };
    await expect(distill({ ...other, teacher: net(1, { classes: 4 }) })).rejects.toThrow(
      /has 4 classes, the student .* 3/,
    );
    await expect(distill({ ...other, teacher: net(1, { inputs: 5 }) })).rejects.toThrow(ShapeError);
    await expect(distill({ ...other, teacher: [] })).rejects.toThrow(OptionError);
    await expect(distill({ ...other, teacher: net(1), temperature: 0 })).rejects.toThrow(
      /temperature must be a number above 0, not 0/,
    );
    const input = tfl.input({ shape: [INPUTS] });
    const two = tfl.layers.dense({ units: CLASSES });
    const outputs = [1, 2].map(() => two.apply(input) as tfl.SymbolicTensor);
    const branchy = tfl.model({ inputs: input, outputs });
    await expect(distill({ ...other, teacher: branchy })).rejects.toThrow(UnsupportedError);
  });

  test('a teacher whose weights are not finite is named', async () => {
    const teacher = net(1);
    tf.tidy(() => teacher.setWeights(teacher.getWeights().map((w) => tf.mul(w, Number.NaN))));
    const job = distill({ ...quiet, teacher, student: net(2), data: points(32), epochs: 1 });
    await expect(job).rejects.toThrow(/teacher .* NaN/);
  });
});

describe('callbacks.distillation', () => {
  test("the teacher's dropout is off, batch by batch", async () => {
    const data = points(64);
    const teachers = [net(1, { units: [8], dropout: true }), net(1, { units: [8] })];
    const kernels = [];
    for (const teacher of teachers) {
      const student = net(5);
      const callbacks = [distillationCallback({ teacher })];
      await fit(student, data, { ...quiet, callbacks, loss: 'meanSquaredError' });
      kernels.push(student.getWeights()[0]!);
    }
    expect(kernels[0]).toBeAllClose(kernels[1]!, 0);
  });

  test("does in tfjs's own fit what it does in Thimble's", async () => {
    const data = points(64);
    const teacher = net(1);
    const kernels = [];
    for (const stock of [true, false]) {
      const student = net(5);
      const callback = distillationCallback({ teacher, temperature: 3, alpha: 0.7 });
      const squared = 'meanSquaredError';
      const training = { epochs: 3, batchSize: 64, callbacks: [callback] };
      if (stock) {
        student.compile({ optimizer: tf.train.sgd(0.1), loss: squared });
        await student.fit(data.xs, data.ys, { ...training, verbose: 0, shuffle: false });
      } else {
        const optimizer = tf.train.sgd(0.1);
        await fit(student, data, { ...training, optimizer, loss: squared, progress: false });
      }
      kernels.push(student.getWeights()[0]!);
    }
    expect(kernels[0]).toBeAllClose(kernels[1]!, 1e-5);
    const plain = net(5);
    plain.compile({ optimizer: tf.train.sgd(0.1), loss: 'meanSquaredError' });
    await plain.fit(data.xs, data.ys, { epochs: 3, batchSize: 64, verbose: 0 });
    expect(kernels[0]).not.toBeAllClose(plain.getWeights()[0]!, 1e-3);
  });

  test("leaves the student as tfjs's fit found it", async () => {
    const data = points(32);
    const student = net(5);
    student.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
    // A Sequential hands compile and fit on to a model inside it.
    const { model } = student as unknown as { model: { lossFunctions: unknown[] } };
    const before = model.lossFunctions;
    const callback = distillationCallback({ teacher: net(1) });
    let during: unknown;
    const spy = new tfl.CustomCallback({
      onBatchEnd: async () => {
        during = model.lossFunctions;
      },
    });
    const options = { epochs: 1, callbacks: [callback, spy], verbose: 0 } as const;
    await student.fit(data.xs, data.ys, options as unknown as tfl.ModelFitArgs);
    expect(during).not.toBe(before);
    expect(model.lossFunctions).toBe(before);
    expect(Object.hasOwn(student.layers[0]!, 'call')).toBe(false);
  });
});
