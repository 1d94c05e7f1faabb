import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError, ShapeError, UnsupportedError, withSeed } from '@thimble/base';
import { fit, schedules, supervisedStep } from '@thimble/core';
import {
  attentionLoss,
  attentionTransfer,
  distillationCallback,
  hints,
  relationalDistillation,
  similarityLoss,
  similarityPreserving,
} from '@thimble/distillation';
import { expectNoLeaks, snapshot, threeClasses, useCpu } from '@thimble/testing';
import { describe, expect, test } from 'vitest';

useCpu();

const LOSS = 'categoricalCrossentropyFromLogits';
const once = { loss: LOSS, batchSize: 24, progress: false, seed: 1 } as const;

/** 16 inputs as a picture of 4 x 4, a convolution named maps, units named hidden, 3 logits. */
function net(seed: number, filters = 2, units = 5, kernelSize = 2): tfl.Sequential {
  return withSeed(seed, () =>
    tfl.sequential({
      layers: [
        tfl.layers.reshape({ targetShape: [4, 4, 1], inputShape: [16] }),
        tfl.layers.conv2d({ name: 'maps', filters, kernelSize, activation: 'tanh' }),
        tfl.layers.flatten(),
        tfl.layers.dense({ name: 'hidden', units, activation: 'tanh' }),
        tfl.layers.dense({ name: 'logits', units: 3 }),
      ],
    }),
  );
}

const data = () => threeClasses(16, 4);
const outputOf = (model: tfl.LayersModel, name: string, x: tf.Tensor) =>
  tfl.model({ inputs: model.inputs, outputs: model.getLayer(name).output }).predict(x) as tf.Tensor;

function taskLoss(model: tfl.LayersModel, { xs, ys }: { xs: tf.Tensor; ys: tf.Tensor }): number {
  const loss = tf.losses.softmaxCrossEntropy(ys, model.predict(xs) as tf.Tensor);
  return loss.dataSync()[0]!;
}

async function firstLoss(student: tfl.LayersModel, callback: unknown): Promise<number> {
  const { logs } = await fit(student, data(), { ...once, callbacks: [callback] as never });
  return logs.loss![0]!;
}

describe('callbacks on features', () => {
  test('the loss of training is the task plus the weighted terms of all pairs', async () => {
    const [student, teacher] = [net(1), net(2, 3, 7)];
    const { xs, ys } = data();
    const terms =
      similarityLoss(outputOf(student, 'maps', xs), outputOf(teacher, 'maps', xs)).dataSync()[0]! +
      similarityLoss(outputOf(student, 'hidden', xs), outputOf(teacher, 'maps', xs)).dataSync()[0]!;
    const expected = 0.5 * taskLoss(student, { xs, ys }) + 20 * terms;
    const pairs = [
      ['maps', 'maps'],
      ['hidden', 'maps'],
    ] as const;
    const callback = similarityPreserving({ teacher, pairs, weight: 20, taskWeight: 0.5 });
    expect(await firstLoss(student, callback)).toBeCloseTo(expected, 4);
  });

  test('attention transfer has the weight 1000 of its paper', async () => {
    const [student, teacher] = [net(1), net(2, 3)];
    const { xs, ys } = data();
    const term = attentionLoss(outputOf(student, 'maps', xs), outputOf(teacher, 'maps', xs));
    const expected = taskLoss(student, { xs, ys }) + 1000 * term.dataSync()[0]!;
    const callback = attentionTransfer({ teacher, pairs: [['maps', 'maps']] });
    expect(await firstLoss(student, callback)).toBeCloseTo(expected, 3);
  });

  test.each([
    ['attentionTransfer', attentionTransfer, 'maps'],
    ['similarityPreserving', similarityPreserving, 'maps'],
    ['relationalDistillation', relationalDistillation, 'hidden'],
    ['hints', hints, 'maps'],
  ] as const)(
    '%s: the term goes down, the teacher stays, nothing leaks',
    async (_, make, layer) => {
      const [student, teacher] = [net(1), net(2, 3, 7)];
      const before = snapshot(teacher);
      const callback = make({ teacher, pairs: [[layer, layer]], weight: 1, taskWeight: 0 });
      const optimizer = tf.train.adam(0.01);
      const options = { ...once, optimizer, callbacks: [callback] };
      const { logs } = await fit(student, data(), { ...options, epochs: 40 });
      expect(logs.loss!.at(-1)).toBeLessThan(logs.loss![0]! / 2);
      expect(snapshot(teacher)).toEqual(before);
      const examples = data();
      await expectNoLeaks(() => fit(student, examples, options));
    },
  );

  test('a schedule is asked at every step', async () => {
    const [student, teacher] = [net(1), net(2)];
    const asked: number[] = [];
    const weight = (at: Parameters<ReturnType<typeof schedules.linear>>[0]) => {
      asked.push(schedules.linear(4, { final: 0 })(at));
      return asked.at(-1)!;
    };
    const callback = similarityPreserving({ teacher, pairs: [['maps', 'maps']], weight });
    await fit(student, data(), { ...once, batchSize: 12, epochs: 2, callbacks: [callback] });
    expect(asked).toEqual([4, 3, 2, 1]);
  });

  test("a learned weight tends to 1 / L, and the optimizer's slots are no part of the student", async () => {
    const teacher = net(2, 3, 7);
    const student = net(1);
    for (const layer of student.layers) layer.trainable = false;
    (student.layers.at(-1) as tfl.layers.Layer).trainable = true;
    const callback = similarityPreserving({
      teacher,
      pairs: [['maps', 'maps']],
      weight: 'learned',
      taskWeight: 0,
    });
    const { xs } = data();
    const term = similarityLoss(outputOf(student, 'maps', xs), outputOf(teacher, 'maps', xs));
    const [value] = term.dataSync();
    const names = student.weights.map(({ name }) => name);
    const { logs } = await fit(student, data(), {
      ...once,
      optimizer: tf.train.sgd(0.3),
      epochs: 80,
      callbacks: [callback],
    });
    // At the minimum exp(-s) L = 1, so that the term is 1 + log L.
    expect(logs.loss!.at(-1)).toBeCloseTo(1 + Math.log(value!), 3);
    expect(student.weights.map(({ name }) => name)).toEqual(names);
    expect(callback.weights()).toEqual([]);
  });

  test('composes with soft targets: these take their share of the labels first', async () => {
    const [student, teacher] = [net(1), net(1)];
    const pairs = [['maps', 'maps']] as const;
    const callbacks = [
      distillationCallback({ teacher, alpha: 1 }),
      similarityPreserving({ teacher, pairs, weight: 5 }),
    ];
    // A twin has nothing to learn: both terms are 0.
    const { logs } = await fit(student, data(), { ...once, callbacks });
    expect(Math.abs(logs.loss![0]!)).toBeLessThan(1e-5);
  });

  test('a teacher that shares layers with the student gets no gradient', async () => {
    const student = net(1);
    const head = tfl.layers.dense({ units: 3, name: 'far' });
    const shared = student.getLayer('hidden').output as tfl.SymbolicTensor;
    const teacher = tfl.model({
      inputs: student.inputs,
      outputs: head.apply(shared) as tfl.SymbolicTensor,
    });
    const before = snapshot(student);
    // The target comes out of the student's own hidden units, which must not come to meet it.
    const callback = similarityPreserving({ teacher, pairs: [['maps', 'hidden']], taskWeight: 0 });
    await fit(student, data(), { ...once, optimizer: 'sgd', callbacks: [callback] });
    const after = snapshot(student);
    expect(after['hidden/kernel']).toEqual(before['hidden/kernel']);
    expect(after['maps/kernel']).not.toEqual(before['maps/kernel']);
  });

  test('layers inside nested models are found', async () => {
    const inner = net(2);
    const teacher = tfl.sequential({ layers: [inner] });
    const callback = similarityPreserving({ teacher, pairs: [['maps', 'maps']] });
    expect(await firstLoss(net(1), callback)).toBeGreaterThan(0);
  });
});

describe('refusals', () => {
  const teacher = net(2);
  const run = (callback: unknown, more: object = {}) =>
    fit(net(1), data(), { ...once, ...more, callbacks: [callback] as never });

  test('a layer that is not there, with those that are', async () => {
    await expect(run(similarityPreserving({ teacher, pairs: [['map', 'maps']] }))).rejects.toThrow(
      NoMatchError,
    );
    await expect(run(similarityPreserving({ teacher, pairs: [['maps', 'far']] }))).rejects.toThrow(
      /"far" matches no layer.*maps, .*hidden, logits/,
    );
  });

  test('shapes that cannot be compared, both of them and the remedy', async () => {
    const pairs = [['maps', 'hidden']] as const;
    for (const make of [attentionTransfer, hints]) {
      const training = run(make({ teacher, pairs }));
      await expect(training).rejects.toThrow(ShapeError);
      await expect(training).rejects.toThrow(
        /student's "maps" \[3,3,2\], the teacher's "hidden" \[5\]\. .*choose/,
      );
    }
    const coarse = net(2, 2, 5, 3);
    const maps = [['maps', 'maps']] as const;
    await expect(run(attentionTransfer({ teacher: coarse, pairs: maps }))).rejects.toThrow(
      /\[3,3,2\].*\[2,2,2\].*same height and width/,
    );
    const fine = net(2, 2, 5, 1);
    await expect(run(hints({ teacher: fine, pairs: maps }))).rejects.toThrow(
      /\[3,3,2\].*\[4,4,2\].*at least as high and wide/,
    );
  });

  test('a teacher with other inputs', async () => {
    const other = tfl.sequential({
      layers: [tfl.layers.dense({ name: 'maps', units: 2, inputShape: [5] })],
    });
    const training = run(similarityPreserving({ teacher: other, pairs: [['maps', 'maps']] }));
    await expect(training).rejects.toThrow(/takes inputs \[5\].*\[16\]/);
  });

  test('bad options', () => {
    const pairs = [['maps', 'maps']] as const;
    expect(() => similarityPreserving({ teacher, pairs: [] })).toThrow(/pairs must list layers/);
    expect(() => similarityPreserving({ teacher, pairs, weight: -1 })).toThrow(OptionError);
    expect(() => similarityPreserving({ teacher, pairs, gamma: 1 } as never)).toThrow(/"gamma"/);
    expect(() => relationalDistillation({ teacher, pairs, distance: 0, angle: 0 })).toThrow(
      /both 0/,
    );
    expect(() => hints({ teacher, pairs, taskWeight: Number.NaN })).toThrow(/taskWeight/);
  });

  test('a schedule that goes below 0, in training', async () => {
    const callback = similarityPreserving({ teacher, pairs: [['maps', 'maps']], weight: () => -2 });
    await expect(run(callback)).rejects.toThrow(/weight must be .* not -2/);
  });

  test("tfjs's own fit, and a step that does not call the hooks", async () => {
    const callback = similarityPreserving({ teacher, pairs: [['maps', 'maps']] });
    const student = net(1);
    student.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
    const { xs, ys } = data();
    const options = { callbacks: [callback], verbose: 0 } as unknown as tfl.ModelFitArgs;
    await expect(student.fit(xs, ys, options)).rejects.toThrow(UnsupportedError);
    const plain = supervisedStep({ loss: LOSS });
    const training = run(callback, { step: (context: never) => plain(context, []) });
    await expect(training).rejects.toThrow(/does not call the hooks/);
  });
});

describe('hints', () => {
  test("the regressor takes the optimizer's step, by hand", async () => {
    const [student, teacher] = [net(1, 2, 2), net(2, 2, 2)];
    const callback = hints({ teacher, pairs: [['hidden', 'hidden']], weight: 3, taskWeight: 0 });
    const { xs } = data();
    const f = outputOf(student, 'hidden', xs).arraySync() as number[][];
    const h = outputOf(teacher, 'hidden', xs).arraySync() as number[][];
    const seen: number[][] = [];
    const look = () => {
      seen.push(callback.weights().flatMap((weight) => Array.from(weight.read().dataSync())));
    };
    await fit(student, data(), {
      ...once,
      optimizer: tf.train.sgd(0.5),
      callbacks: [callback, { onBatchBegin: look, onBatchEnd: look }],
    });
    const [before, after] = seen;
    const [w00, w01, w10, w11, b0, b1] = before!;
    const gradient = [0, 0, 0, 0, 0, 0];
    f.forEach(([x, y], n) => {
      const errors = [x! * w00! + y! * w10! + b0!, x! * w01! + y! * w11! + b1!].map(
        (r, k) => (3 * (r - h[n]![k]!)) / 48, // the mean of 24 examples and 2 units, twice halved
      );
      errors.forEach((e, k) => {
        gradient[k]! += e * x!;
        gradient[2 + k]! += e * y!;
        gradient[4 + k]! += e;
      });
    });
    expect(after).toBeAllClose(
      before!.map((w, i) => w - 0.5 * gradient[i]!),
      1e-5,
    );
  });

  test("a convolution brings the student's map to the teacher's size", async () => {
    const [student, teacher] = [net(1), net(2, 4, 5, 3)];
    const callback = hints({ teacher, pairs: [['maps', 'maps']] });
    let shapes: unknown;
    const look = {
      onBatchEnd: () => {
        shapes = callback.weights().map(({ shape }) => shape);
      },
    };
    await fit(student, data(), { ...once, callbacks: [callback, look] });
    // From 3 x 3 x 2 to 2 x 2 x 4: a kernel of 2 x 2.
    expect(shapes).toEqual([[2, 2, 2, 4], [4]]);
  });

  test('its seed draws the regressor', async () => {
    const pairs = [['hidden', 'hidden']] as const;
    const losses = [];
    for (const seed of [0, 0, 1])
      losses.push(await firstLoss(net(1), hints({ teacher: net(2), pairs, seed })));
    expect(losses[1]).toBe(losses[0]);
    expect(losses[2]).not.toBe(losses[0]);
  });
});
