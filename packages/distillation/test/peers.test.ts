// Networks that learn side by side.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { OptionError, ShapeError } from '@thimble/base';
import { copyModel, type FitOptions, fit } from '@thimble/core';
import { codistillation, mutualDivergence, mutualLearning } from '@thimble/distillation';
import { classifier, expectNoLeaks, snapshot, threeClasses, useCpu } from '@thimble/testing';
import { describe, expect, test } from 'vitest';

useCpu();

const options: FitOptions = {
  optimizer: 'sgd',
  learningRate: 0.1,
  batchSize: 8,
  progress: false,
  seed: 3,
};
const data = () => threeClasses(6, 4);

function calm(seed: number): tfl.Sequential {
  const model = classifier(seed);
  (model.layers[1] as unknown as { rate: number }).rate = 0;
  return model;
}

function crossEntropy(model: tfl.LayersModel): number {
  const { xs, ys } = data();
  return tf.losses.softmaxCrossEntropy(ys, model.predict(xs) as tf.Tensor).dataSync()[0]!;
}

for (const [name, train] of [
  ['mutualLearning', mutualLearning],
  ['codistillation', codistillation],
] as const) {
  describe(name, () => {
    test('without weight each model trains as it would alone', async () => {
      const models = [calm(1), calm(2)];
      await train({ ...options, models, data: data(), epochs: 2, weight: 0 });
      for (const [i, model] of models.entries()) {
        const alone = calm(i + 1);
        const loss = 'categoricalCrossentropyFromLogits';
        await fit(alone, data(), { ...options, epochs: 2, loss });
        expect(model.getWeights()[0]).toBeAllClose(alone.getWeights()[0]!, 1e-5);
      }
    });

    test('models with one name, of logits and of probabilities, come closer to one another', async () => {
      const apart: number[] = [];
      for (const weight of [0, 5]) {
        const first = calm(1);
        const second = tfl.sequential({ layers: [calm(2), tfl.layers.softmax()] });
        second.name = first.name;
        const { history } = await train({
          ...options,
          models: [first, second, copyModel(first, { seed: 5 })],
          data: data(),
          validationData: data(),
          metrics: ['accuracy'],
          epochs: 8,
          weight,
        });
        expect(Object.keys(history.logs)).toEqual(
          expect.arrayContaining(['loss', 'model1_loss', 'model2_accuracy', 'val_model3_loss']),
        );
        const { xs } = data();
        const logits = [first.predict(xs), tf.log(second.predict(xs) as tf.Tensor)] as tf.Tensor[];
        apart.push(mutualDivergence(logits, 1).dataSync()[0]!);
        expect(second.name).toBe(first.name);
      }
      expect(apart[1]).toBeLessThan(apart[0]! / 2);
    });

    test('goes on from a checkpoint to the same bits', async () => {
      const folder = await mkdtemp(join(tmpdir(), 'thimble-peers-'));
      try {
        const more = { ...options, optimizer: 'adam', refresh: 4, burnIn: 1, epochs: 3 } as const;
        const all = ({ refresh, burnIn, ...rest }: typeof more) =>
          name === 'codistillation' ? { ...rest, refresh, burnIn } : rest;
        const unbroken = [classifier(1), classifier(2)];
        await train({ ...all(more), models: unbroken, data: data() });
        const checkpoint = { path: join(folder, 'checkpoint'), everySteps: 1 };
        const abort = new AbortController();
        let steps = 0;
        const stopper = {
          onBatchEnd() {
            steps += 1;
            if (steps === 5) abort.abort();
          },
        };
        const stopped = train({
          ...all(more),
          models: [classifier(1), classifier(2)],
          data: data(),
          checkpoint,
          signal: abort.signal,
          callbacks: [stopper],
        });
        await expect(stopped).rejects.toThrow(/abort/i);
        const resumed = [classifier(7), classifier(8)];
        const callbacks = [{ onBatchEnd() {} }];
        await train({ ...all(more), models: resumed, data: data(), checkpoint, callbacks });
        expect(resumed.map(snapshot)).toEqual(unbroken.map(snapshot));
      } finally {
        await rm(folder, { recursive: true });
      }
    });

    test('leaks nothing, and the models can be disposed of', async () => {
      const models = [classifier(1), classifier(2)];
      const examples = data();
      await expectNoLeaks(() => train({ ...options, models, data: examples }));
      const before = tf.memory().numTensors;
      for (const model of models) model.dispose();
      expect(tf.memory().numTensors).toBe(before - 8);
    });

    test('refuses one model, one twice, and models that differ', async () => {
      const one = classifier(1);
      const run = (models: tfl.LayersModel[]) => train({ ...options, models, data: data() });
      await expect(run([one])).rejects.toThrow(OptionError);
      await expect(run([one, one])).rejects.toThrow(/two different models/);
      const other = tfl.sequential({ layers: [tfl.layers.dense({ units: 4, inputShape: [6] })] });
      await expect(run([one, other])).rejects.toThrow(ShapeError);
      await expect(
        train({ ...options, models: [one, classifier(2)], data: data(), weight: -1 }),
      ).rejects.toThrow(/weight/);
    });
  });
}

test('mutual learning: the first loss is both cross-entropies and the divergences', async () => {
  const models = [calm(1), calm(2)];
  const { xs } = data();
  const logits = models.map((model) => model.predict(xs) as tf.Tensor);
  const expected =
    crossEntropy(models[0]!) +
    crossEntropy(models[1]!) +
    0.5 * mutualDivergence(logits, 3).dataSync()[0]!;
  const { history } = await mutualLearning({
    ...options,
    batchSize: 24,
    models,
    data: data(),
    temperature: 3,
    weight: 0.5,
  });
  expect(history.logs.loss![0]).toBeCloseTo(expected, 5);
});

test('co-distillation: deaf in the burn-in, then it listens to copies as old as refresh allows', async () => {
  const models = [calm(1), calm(2)];
  const run = { ...options, batchSize: 24, epochs: 5, models, data: data() };
  const own: number[] = [];
  const states: tf.Tensor[][] = [];
  const note = {
    onBatchBegin() {
      own.push(crossEntropy(models[0]!) + crossEntropy(models[1]!));
      states.push(models.map((model) => model.predict(run.data.xs) as tf.Tensor));
    },
  };
  const { history } = await codistillation({ ...run, burnIn: 2, refresh: 2, callbacks: [note] });
  // After 2 steps the copies are new, at step 3 one step old, at step 4 new again.
  const age = [undefined, undefined, 2, 2, 4];
  age.forEach((copied, step) => {
    let taught = 0;
    if (copied !== undefined) {
      const [now, then] = [states[step]!, states[copied]!];
      // KL(p_j of the copies || p_i now), both ways: by hand from the softmax.
      for (const [i, j] of [
        [0, 1],
        [1, 0],
      ] as const) {
        const p = tf.softmax(then[j]!);
        const apart = tf.sub(tf.log(p), tf.logSoftmax(now[i]!));
        taught += tf.mean(tf.sum(tf.mul(p, apart), -1)).dataSync()[0]!;
      }
    }
    expect(history.logs.loss![step]).toBeCloseTo(own[step]! + taught, 4);
  });
});
