// What transforms are told and asked within the training loop.
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  currentContext,
  currentMoment,
  fit,
  parametrize,
  type WeightTransform,
} from '@thimble/core';
import { beforeAll, expect, it } from 'vitest';
import { line, useCpu, weightsOf } from './training-models.ts';

beforeAll(useCpu);

const data = { xs: new Float32Array([1, 1, 1]), ys: new Float32Array([0, 0, 0]) };
const options = { loss: 'meanSquaredError', batchSize: 1, progress: false } as const;

/** A transform that changes nothing but what the test says. */
function transform(parts: Partial<WeightTransform>): WeightTransform {
  return {
    getClassName: () => 'ThimbleTestParts',
    getConfig: () => ({}),
    build: () => null,
    apply: (weight) => weight,
    bake: (weight) => weight,
    encoding: () => ({}),
    ...parts,
  };
}

/** The model y = w x, with its weight seen through transforms. */
function chained(...parts: Partial<WeightTransform>[]) {
  const model = line(2) as tfl.Sequential;
  parametrize(model.layers[0]!, { kernel: parts.map(transform) });
  return model;
}

it('are told the learning rate of the step within fit, and NaN outside', async () => {
  const seen: number[] = [];
  const model = chained({
    update(_before, after, _state, { learningRate }) {
      seen.push(learningRate);
      return after;
    },
  });
  await fit(model, data, { ...options, learningRate: ({ step }) => 0.5 ** step, optimizer: 'sgd' });
  expect(seen).toEqual([1, 0.5, 0.25]);
  expect(currentContext(false).learningRate).toBeNaN();
  expect(currentMoment()).toEqual({ step: 2, seed: 0 });
});

it('are told the own rate of an optimizer, or NaN where it has none', async () => {
  const seen: number[] = [];
  const note: Partial<WeightTransform> = {
    apply(weight, _state, { learningRate }) {
      seen.push(learningRate);
      return weight;
    },
  };
  await fit(chained(note), data, { ...options, batchSize: 3, optimizer: tf.train.adam(0.125) });
  const unrated = tf.train.sgd(0.1);
  Object.assign(unrated, { learningRate: undefined, setLearningRate() {} });
  await fit(chained(note), data, { ...options, batchSize: 3, optimizer: unrated });
  expect(seen).toEqual([0.125, Number.NaN]);
});

it('are not asked for updates while their layer is frozen', async () => {
  const halve: Partial<WeightTransform> = { update: (_before, after) => tf.mul(after, 0.5) };
  const still = { ...options, batchSize: 3, optimizer: 'sgd', learningRate: 0 } as const;
  const model = chained(halve);
  model.add(tfl.layers.dense({ units: 1 }));
  await fit(model, data, still);
  expect(model.layers[0]!.getWeights()[0]!.dataSync()).toEqual(Float32Array.of(1));
  model.layers[0]!.trainable = false;
  await fit(model, data, still);
  expect(model.layers[0]!.getWeights()[0]!.dataSync()).toEqual(Float32Array.of(1));
});

it('that freeze the stored weight go on getting updates for what they train', async () => {
  let updates = 0;
  const gain: Partial<WeightTransform<tf.Variable>> = {
    freezes: true,
    build: (site) => site.addWeight('gain', [1], 1, true),
    apply: (weight, state) => tf.mul(weight, state),
    bake: (weight, state) => tf.mul(weight, state),
    update(_before, after) {
      updates++;
      return after;
    },
  };
  const model = chained(gain as Partial<WeightTransform>);
  const layer = model.layers[0]!;
  expect(layer.trainableWeights).toHaveLength(1);
  // w = 2, loss (2 gain)^2, gradient 8 gain
  await fit(model, data, { ...options, batchSize: 3, optimizer: 'sgd', learningRate: 1 / 16 });
  expect(weightsOf(model)).toEqual([[0.5], [2]]);
  expect(updates).toBe(1);
  layer.trainable = false;
  layer.trainable = true;
  expect(layer.trainableWeights).toHaveLength(1);
});

it('penalise the weight as they get it', async () => {
  const halved: Partial<WeightTransform> = {
    apply: (weight) => tf.mul(weight, 0.5),
    bake: (weight) => tf.mul(weight, 0.5),
  };
  const squared: Partial<WeightTransform> = {
    penalty: (weight) => tf.mul(3, tf.sum(tf.square(weight))),
  };
  const model = chained(halved, squared, halved);
  const { logs } = await fit(model, data, {
    ...options,
    batchSize: 3,
    optimizer: 'sgd',
    learningRate: 0.25,
  });
  // w = 2: the output is w / 4, the penalty 3 (w / 2)^2
  expect(logs.loss).toEqual([0.25 + 3]);
  // 2 - (2 w / 16 + 2 * 3 w / 4) / 4
  expect(weightsOf(model)[0]![0]).toBeCloseTo(2 - (0.25 + 3) / 4, 6);
});
