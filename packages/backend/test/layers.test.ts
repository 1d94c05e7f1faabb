// One training step of every layer of tfjs-layers that can train: the step on thimble equals the step on
// cpu, and finite differences of the loss say the same.
import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { beforeAll, describe, expect, test } from 'vitest';
import { registerChainedOps, values } from './helpers.ts';
import {
  batch,
  chain,
  merge,
  merges,
  type Options,
  withoutWeights,
  withWeights,
} from './layer-cases.ts';

beforeAll(() => {
  registerChainedOps();
  // The engine's leak check counts what fused ops save for their gradient as leaked, on every backend.
  tf.env().set('IS_TEST', false);
  tf.env().set('PROD', true);
});

function seedWeights(model: tfl.LayersModel): void {
  model.weights.forEach((weight, i) => {
    const data = values(weight.shape as number[], i).map((value) =>
      /variance/.test(weight.name) ? 1 + value / 2 : value,
    );
    weight.write(tf.tensor(data, weight.shape as number[]));
  });
}

function readAll(weights: tfl.LayerVariable[]): Float32Array[] {
  return weights.map((weight) => weight.read().dataSync().slice() as Float32Array);
}

interface Step {
  gradients: Float32Array[];
  loss: number;
  /** All weights after the step, moving averages among them. */
  after: Float32Array[];
}

/** One step of gradient descent at rate 1, so the gradient is what the weights lost. */
async function step(backend: string, build: () => tfl.LayersModel, ids?: number): Promise<Step> {
  await tf.setBackend(backend);
  const model = build();
  seedWeights(model);
  const [x, y] = batch(model, ids);
  const before = readAll(model.trainableWeights);
  const loss = (await model.trainOnBatch(x, y)) as number;
  const after = readAll(model.trainableWeights);
  const gradients = before.map((data, i) =>
    data.map((value, j) => value - ((after[i] as Float32Array)[j] as number)),
  );
  return { gradients, loss, after: readAll(model.weights) };
}

const largest = (data: ArrayLike<number>): number => Math.max(...Array.from(data, Math.abs));

/** Asserts agreement relative to the largest entry. */
function expectNear(actual: Float32Array, expected: Float32Array, tolerance: number): void {
  const error = largest(actual.map((value, i) => value - (expected[i] as number)));
  expect(error).toBeLessThanOrEqual(tolerance * largest(expected) + 1e-6);
}

async function expectSlopes(
  build: () => tfl.LayersModel,
  gradients: Float32Array[],
  ids?: number,
): Promise<void> {
  await tf.setBackend('thimble');
  const model = build();
  seedWeights(model);
  const [x, y] = batch(model, ids);
  const loss = (): number =>
    tf.tidy(() => {
      const scores = model.apply(x, { training: true }) as tf.Tensor;
      return tf.losses.meanSquaredError(y, scores).dataSync()[0] as number;
    });
  let [entries, corners] = [0, 0];
  const step = 2e-3;
  model.trainableWeights.forEach((weight, which) => {
    const gradient = gradients[which] as Float32Array;
    const original = weight.read().dataSync().slice() as Float32Array;
    const at = (index: number, by: number): number => {
      const moved = original.slice();
      (moved[index] as number) += by;
      weight.write(tf.tensor(moved, weight.shape as number[]));
      return loss();
    };
    const tolerance = 0.01 * largest(gradient) + 2e-4;
    const stride = Math.max(1, Math.floor(original.length / 4));
    for (let index = 0; index < original.length; index += stride) {
      const [below, here, above] = [at(index, -step), at(index, 0), at(index, step)];
      const slopes = [(here - below) / step, (above - here) / step];
      // Between the slopes on both sides: they differ where a maximum or a PReLU has a corner there.
      const [low, high] = [Math.min(...slopes), Math.max(...slopes)];
      expect(gradient[index], `${weight.name}[${index}]`).toBeGreaterThanOrEqual(low - tolerance);
      expect(gradient[index], `${weight.name}[${index}]`).toBeLessThanOrEqual(high + tolerance);
      corners += Number(high - low > 2 * tolerance);
      entries++;
    }
    weight.write(tf.tensor(original, weight.shape as number[]));
  });
  expect(corners).toBeLessThanOrEqual(entries / 4);
}

async function expectRightStep(build: () => tfl.LayersModel, options: Options = {}): Promise<void> {
  const actual = await step('thimble', build, options.ids);
  expect(actual.gradients.length).toBeGreaterThan(0);
  for (const gradient of actual.gradients) expect(largest(gradient)).toBeGreaterThan(0);
  if (!options.cpuIsWrong) {
    const expected = await step('cpu', build, options.ids);
    expect(actual.loss).toBeCloseTo(expected.loss, 5);
    for (const [i, gradient] of expected.gradients.entries()) {
      expectNear(actual.gradients[i] as Float32Array, gradient, 1e-4);
    }
    for (const [i, weight] of expected.after.entries()) {
      expectNear(actual.after[i] as Float32Array, weight, 1e-4);
    }
  }
  await expectSlopes(build, actual.gradients, options.ids);
}

describe('a training step is right for', () => {
  test.each([...withWeights, ...withoutWeights])('%s', async (_, shape, make, options) => {
    await expectRightStep(() => chain(shape, make), options);
  });
  test.each(Object.entries(merges))('%s', async (_, make) => {
    await expectRightStep(() => merge(make));
  });
});
