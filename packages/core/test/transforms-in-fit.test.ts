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
