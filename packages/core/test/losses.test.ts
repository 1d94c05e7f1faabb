import '@tensorflow/tfjs-layers';
import '@tensorflow/tfjs-backend-cpu';
import '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { type LossName, losses } from '@thimble/core';
import { beforeAll, describe, expect, it } from 'vitest';
import { useCpu } from './training-models.ts';

beforeAll(useCpu);

const { log, exp, E } = Math;

function lossOf(name: LossName, yTrue: number[], yPred: number[]): number[] {
  const shape = [1, yPred.length];
  return tf.tidy(() =>
    Array.from(
      losses[name](tf.tensor(yTrue, [1, yTrue.length]), tf.tensor(yPred, shape)).dataSync(),
    ),
  );
}

describe('losses', () => {
  // Worked by hand from the formulas; one example each.
  it.each<[LossName, number[], number[], number]>([
    ['meanSquaredError', [1, 2], [2, 5], (1 + 9) / 2],
    ['meanAbsoluteError', [1, 2], [2, 5], (1 + 3) / 2],
    ['meanAbsolutePercentageError', [1, 2], [2, 5], 100 * ((1 / 1 + 3 / 2) / 2)],
    ['meanSquaredLogarithmicError', [0, E - 1], [E - 1, E - 1], 1 / 2],
    ['logcosh', [0, 0], [0, 1], log((E + 1 / E) / 2) / 2],
    ['hinge', [1, -1], [0.5, 2], (0.5 + 3) / 2],
    ['squaredHinge', [1, -1], [0.5, 2], (0.25 + 9) / 2],
    // one-hot rows: 0 stands for -1
    ['hinge', [1, 0], [0.5, 2], (0.5 + 3) / 2],
    ['squaredHinge', [1, 0], [0.5, 2], (0.25 + 9) / 2],
    ['categoricalHinge', [0, 1, 0], [0.2, 0.5, 0.9], 0.9 - 0.5 + 1],
    ['categoricalCrossentropy', [0, 1], [0.25, 0.75], -log(0.75)],
    // Rescaled to sum 1 first, as Keras does.
    ['categoricalCrossentropy', [0, 1], [1, 3], -log(0.75)],
    ['categoricalCrossentropy', [0, 1], [1, 0], -log(1e-7)],
    ['sparseCategoricalCrossentropy', [1], [0.25, 0.75], -log(0.75)],
    ['categoricalCrossentropyFromLogits', [0, 1], [0, log(3)], -log(0.75)],
    ['categoricalCrossentropyFromLogits', [0, 1], [200, 0], 200],
    ['sparseCategoricalCrossentropyFromLogits', [1], [0, log(3)], -log(0.75)],
    ['binaryCrossentropy', [1, 0], [0.8, 0.4], -(log(0.8) + log(0.6)) / 2],
    ['binaryCrossentropy', [1, 0], [0, 0], -log(1e-7) / 2],
    ['binaryCrossentropyFromLogits', [1, 0], [2, -1], (log(1 + exp(-2)) + log(1 + exp(-1))) / 2],
    ['binaryCrossentropyFromLogits', [0, 1], [500, 500], 250],
    ['kullbackLeiblerDivergence', [0.5, 0.5], [0.25, 0.75], 0.5 * log(2) + 0.5 * log(2 / 3)],
    ['poisson', [2, 1], [1, E], (1 + (E - 1)) / 2],
    ['cosineProximity', [1, 0], [3, 4], -0.6],
  ])('%s of %j and %j', (name, yTrue, yPred, expected) => {
    expect(lossOf(name, yTrue, yPred)[0]).toBeCloseTo(expected, 4);
  });

  it('give one value per example', () => {
    for (const name of Object.keys(losses) as LossName[]) {
      const labels = name.startsWith('sparse') ? tf.tensor2d([[1], [0]]) : tf.eye(2);
      const values = losses[name](
        labels,
        tf.tensor2d([
          [0.4, 0.6],
          [0.2, 0.8],
        ]),
      );
      expect(values.shape, name).toEqual([2]);
    }
  });

  it('take class numbers for every position of a map', () => {
    const labels = tf.tensor([0, 1, 1, 0], [1, 2, 2]);
    const predictions = tf.tensor([0.9, 0.1, 0.3, 0.7, 0.2, 0.8, 0.6, 0.4], [1, 2, 2, 2]);
    const values = losses.sparseCategoricalCrossentropy(labels, predictions);
    expect(values.shape).toEqual([1, 2, 2]);
    const expected = [0.9, 0.7, 0.8, 0.6].map((p) => -log(p));
    Array.from(values.dataSync()).forEach((value, i) => {
      expect(value).toBeCloseTo(expected[i]!, 5);
    });
  });

  it('have the gradient softmax - y on logits', () => {
    const gradient = tf.grad((z) =>
      losses.categoricalCrossentropyFromLogits(tf.tensor2d([[0, 1]]), z),
    )(tf.tensor2d([[0, log(3)]]));
    expect(gradient.dataSync()[0]).toBeCloseTo(0.25, 6);
    expect(gradient.dataSync()[1]).toBeCloseTo(0.75 - 1, 6);
  });

  it('have the gradient of the clipped logarithm on probabilities', () => {
    // -y log(p / sum p): with p1 + p2 = 1 the derivative by p2 is 1 - 1 / p2, by p1 it is 1.
    const gradient = tf.grad((p) => losses.categoricalCrossentropy(tf.tensor2d([[0, 1]]), p))(
      tf.tensor2d([[0.25, 0.75]]),
    );
    expect(gradient.dataSync()[0]).toBeCloseTo(1, 5);
    expect(gradient.dataSync()[1]).toBeCloseTo(1 - 1 / 0.75, 5);
  });

  it.each([['cpu'], ['wasm']])('do not hide NaN on %s, where clipping does', async (backend) => {
    await tf.setBackend(backend);
    for (const name of Object.keys(losses) as LossName[]) {
      const labels = name.startsWith('sparse') ? [1] : [0, 1];
      expect(lossOf(name, labels, [Number.NaN, Number.NaN])[0], name).toBeNaN();
    }
    await tf.setBackend('cpu');
  });
});
