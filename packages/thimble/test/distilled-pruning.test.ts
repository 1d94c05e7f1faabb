import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers';
import { classifier, snapshot, threeClasses, useCpu } from '@thimble/testing';
import { copyModel, distill, distilledPruning, finalize, gradualPruning } from 'thimble';
import { expect, test } from 'vitest';

useCpu();

const training = { epochs: 2, batchSize: 8, optimizer: 'adam', progress: false, seed: 2 } as const;
const pruning = { schedule: () => 0.5, every: 1 };

/** Entries that are not 0. */
const count = (weight: tf.Tensor) =>
  weight.dataSync().filter((entry: number) => entry !== 0).length;

test('is gradual pruning within distillation from what the network was, and leaves no teacher', async () => {
  const data = threeClasses(6, 4);
  const [model, twin] = [classifier(1), classifier(1)];
  const teacher = copyModel(twin);
  const soft = { ...training, data, temperature: 2, alpha: 0.7 };
  await distill({ ...soft, teacher, student: twin, callbacks: [gradualPruning(pruning)] });
  const { model: pruned, history } = await distilledPruning({ ...soft, model, pruning });
  expect(pruned).toBe(model);
  expect(history.epochs).toBe(2);
  expect(snapshot(model)).toEqual(snapshot(twin));
  // Half of the 48 and of the 24 kernel entries.
  const plain = await finalize(model);
  const kernels = plain.weights.filter(({ originalName }) => originalName.endsWith('kernel'));
  expect(kernels.map((kernel) => count(kernel.read()))).toEqual([24, 12]);
});

test('bad options leave nothing behind', async () => {
  const model = classifier(1);
  const data = threeClasses(6, 4);
  const before = tf.memory().numTensors;
  const bad = { ...training, model, data, pruning: {} as never };
  await expect(distilledPruning(bad)).rejects.toThrow(/schedule/);
  await expect(distilledPruning({ ...training, model, data, pruning, alpha: 2 })).rejects.toThrow(
    /alpha/,
  );
  expect(tf.memory().numTensors).toBe(before);
});
