// Temperatures and weights that change, and teachers that count by their confidence.
import * as tf from '@tensorflow/tfjs-core';
import type { ModelFitArgs } from '@tensorflow/tfjs-layers';
import { OptionError } from '@thimble/base';
import { fit, schedules, type TrainingProgress } from '@thimble/core';
import { distill, distillationCallback, distillationLoss } from '@thimble/distillation';
import { classifier, snapshot, threeClasses, useCpu } from '@thimble/testing';
import { expect, test } from 'vitest';

useCpu();

const options = {
  loss: 'categoricalCrossentropyFromLogits',
  optimizer: 'sgd',
  batchSize: 24,
  progress: false,
} as const;

/** Without dropout, so that predictions are what training sees. */
function calm(seed: number) {
  const model = classifier(seed);
  (model.layers[1] as unknown as { rate: number }).rate = 0;
  return model;
}

test('each step has the temperature and the alpha of its schedule', async () => {
  const data = threeClasses(6, 4);
  const [student, teacher] = [calm(1), classifier(2)];
  const expected: number[] = [];
  const foretell = {
    onEpochBegin(epoch: number) {
      // Of three epochs of one step: 6, 5, 4 and 0.9, 0.6, 0.3.
      const loss = distillationLoss({ temperature: 6 - epoch, alpha: 0.9 - 0.3 * epoch });
      const [own, theirs] = [student, teacher].map((m) => m.predict(data.xs) as tf.Tensor);
      expected.push(loss(data.ys, own!, theirs!).dataSync()[0]!);
    },
  };
  const { history } = await distill({
    ...options,
    student,
    teacher,
    data,
    epochs: 3,
    temperature: schedules.linear(6, { final: 3 }),
    alpha: schedules.linear(0.9, { final: 0 }),
    callbacks: [foretell],
  });
  expect(history.logs.loss).toBeAllClose(expected, 1e-5);
});

test("tfjs's own fit asks the schedule the same", async () => {
  const data = threeClasses(6, 4);
  const asked: TrainingProgress[] = [];
  const alpha = (at: TrainingProgress) => {
    asked.push({ ...at });
    return 0.5;
  };
  const student = classifier(1);
  student.compile({ optimizer: 'sgd', loss: 'meanSquaredError' });
  const callbacks = [distillationCallback({ teacher: classifier(2), alpha })];
  const training = { epochs: 2, batchSize: 12, callbacks, verbose: 0 } as unknown as ModelFitArgs;
  await student.fit(data.xs, data.ys, training);
  const stock = asked.splice(0);
  await fit(classifier(1), data, { ...options, epochs: 2, batchSize: 12, callbacks });
  expect(stock).toEqual(asked);
  expect(asked.map(({ step }) => step)).toEqual([0, 1, 2, 3]);
});

test('by confidence, a teacher that knows the labels outweighs one that does not', async () => {
  const data = threeClasses(6, 4);
  const knowing = classifier(3);
  await fit(knowing, data, { ...options, optimizer: tf.train.adam(0.05), epochs: 60 });
  const other = classifier(4);
  const run = async (
    teacher: typeof other | (typeof other)[],
    weighting: 'equal' | 'confidence',
  ) => {
    const student = classifier(1);
    await distill({ ...options, student, teacher, data, weighting, alpha: 1, epochs: 1 });
    return snapshot(student);
  };
  expect(await run([knowing, other], 'confidence')).not.toEqual(
    await run([knowing, other], 'equal'),
  );
  // Teachers that agree in everything count alike, one alone counts all.
  const twins = await run([knowing, knowing], 'confidence');
  const alone = await run(knowing, 'confidence');
  for (const [name, values] of Object.entries(alone))
    expect(twins[name]).toBeAllClose(values, 1e-5);
});

test('refuses values out of range: numbers at once, schedules at the step', async () => {
  const teacher = classifier(2);
  expect(() => distillationCallback({ teacher, alpha: 2 })).toThrow(OptionError);
  expect(() => distillationCallback({ teacher, weighting: 'best' as never })).toThrow(/weighting/);
  const training = distill({
    ...options,
    student: classifier(1),
    teacher,
    data: threeClasses(6, 4),
    temperature: () => 0,
  });
  await expect(training).rejects.toThrow(/temperature must be a number above 0, not 0/);
});
