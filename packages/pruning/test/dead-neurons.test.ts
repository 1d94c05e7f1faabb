import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { Random, withSeed } from '@thimble/base';
import { deadNeurons, prune, removeDeadNeurons, setMask } from '@thimble/pruning';
import { expectNoLeaks, outputs, snapshot, useCpu } from '@thimble/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

useCpu();

const { conv2d, dense, flatten } = tfl.layers;

/** 2-3-2-1 with ReLU and biases that are not 0. */
function perceptron(first: number[][], second: number[][]): tfl.Sequential {
  return tfl.sequential({
    layers: [
      dense({
        name: 'a',
        units: 3,
        activation: 'relu',
        inputShape: [2],
        weights: [tf.tensor2d(first), tf.tensor1d([0.5, -1, 0.25])],
      }),
      dense({
        name: 'b',
        units: 2,
        activation: 'sigmoid',
        weights: [tf.tensor2d(second), tf.tensor1d([0.1, 0.2])],
      }),
      dense({ name: 'c', units: 1, weights: [tf.tensor2d([[1], [2]]), tf.tensor1d([0])] }),
    ],
  });
}

function expectClose(a: tfl.LayersModel, b: tfl.LayersModel, inputs: tf.Tensor): void {
  expect(outputs(a, inputs)).toBeAllClose(outputs(b, inputs), 1e-5);
}

const x = () =>
  tf.tensor2d([
    [1, -2],
    [0.5, 3],
    [0, 0],
    [-4, 1],
  ]);

describe('deadNeurons', () => {
  it('finds what nothing feeds and what nothing reads', () => {
    // Unit 0 of a gets nothing, unit 1 goes nowhere, unit 2 lives; b lives.
    const model = perceptron(
      [
        [0, 1, 2],
        [0, 3, 4],
      ],
      [
        [5, 6],
        [0, 0],
        [7, 8],
      ],
    );
    expect(deadNeurons(model)).toEqual([{ group: 'a', unread: [1], unfed: [0] }]);
  });

  it('looks through masks', async () => {
    const model = perceptron(
      [
        [1, 1, 1],
        [1, 1, 1],
      ],
      [
        [1, 1],
        [1, 1],
        [1, 1],
      ],
    );
    const { weights } = await prune(model, { granularity: 'element', sparsity: 0, targets: 'b' });
    expect(weights.map(({ name }) => name)).toEqual(['b/kernel']);
    setMask(model.layers[1]!, [1, 1, 0, 0, 1, 1]);
    expect(deadNeurons(model)).toEqual([{ group: 'a', unread: [1], unfed: [] }]);
  });
});

describe('removeDeadNeurons', () => {
  it('keeps the outputs, folding constants into the next biases', async () => {
    const model = perceptron(
      [
        [0, 1, 2],
        [0, 3, 4],
      ],
      [
        [5, 6],
        [0, 0],
        [7, 8],
      ],
    );
    const before = snapshot(model);
    const smaller = await removeDeadNeurons(model);
    // 2-1-2-1: 2 + 1, 2 + 2, 2 + 1.
    expect(smaller.countParams()).toBe(10);
    // relu(0.5) = 0.5 from unit 0 of a: 5 * 0.5 and 6 * 0.5 more.
    expect(smaller.layers[1]!.getWeights()[1]!).toBeAllClose([0.1 + 2.5, 0.2 + 3]);
    expectClose(smaller, model, x());
    expect(snapshot(model)).toEqual(before);
  });

  it('goes on where removing one neuron cuts off another', async () => {
    // Unit 1 of b is read by nothing; unit 2 of a is read by that one alone.
    const model = perceptron(
      [
        [1, 1, 2],
        [1, 3, 4],
      ],
      [
        [5, 6],
        [3, 1],
        [0, 8],
      ],
    );
    const c = model.layers[2]!;
    c.setWeights([tf.tensor2d([[1], [0]]), tf.tensor1d([0.5])]);
    const smaller = await removeDeadNeurons(model);
    expect(smaller.layers.map((layer) => layer.getWeights()[0]!.shape)).toEqual([
      [2, 2],
      [2, 1],
      [1, 1],
    ]);
    expectClose(smaller, model, x());
  });

  it('keeps a constant filter in front of a layer that pads with zeros, and only there', async () => {
    const make = (padding: 'same' | 'valid') =>
      withSeed(1, () => {
        const model = tfl.sequential({
          layers: [
            conv2d({ name: 'a', filters: 2, kernelSize: 3, inputShape: [6, 6, 1] }),
            conv2d({ name: 'b', filters: 2, kernelSize: 3, padding }),
            flatten(),
            dense({ name: 'c', units: 2 }),
          ],
        });
        const [kernel] = model.layers[0]!.getWeights();
        const dead = tf.mul(kernel!, tf.tensor1d([1, 0]));
        model.layers[0]!.setWeights([dead, tf.tensor1d([0.5, 0.75])]);
        return model;
      });
    const images = tf.randomNormal([3, 6, 6, 1], 0, 1, 'float32', 1);
    const [padded, valid] = [make('same'), make('valid')];
    const [same, smaller] = [await removeDeadNeurons(padded), await removeDeadNeurons(valid)];
    expect(same.countParams()).toBe(padded.countParams());
    expect(smaller.countParams()).toBeLessThan(valid.countParams());
    expectClose(smaller, valid, images);
  });

  it('keeps the outputs of random networks with random masks', async () => {
    const cases = fc.record({
      seed: fc.integer({ min: 1, max: 1e6 }),
      keep: fc.double({ min: 0.1, max: 0.6, noNaN: true }),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ seed, keep }) => {
        const random = new Random(seed);
        const model = withSeed(seed, () =>
          tfl.sequential({
            layers: [
              dense({
                units: 5,
                activation: 'relu',
                inputShape: [4],
                biasInitializer: 'randomNormal',
              }),
              dense({ units: 6, activation: 'tanh', biasInitializer: 'randomNormal' }),
              dense({ units: 3, biasInitializer: 'randomNormal' }),
            ],
          }),
        );
        for (const layer of model.layers) {
          const [kernel, bias] = layer.getWeights();
          const ones = Float32Array.from({ length: kernel!.size }, () =>
            random.uniform() < keep ? 1 : 0,
          );
          layer.setWeights([tf.mul(kernel!, tf.tensor(ones, kernel!.shape)), bias!]);
        }
        const smaller = await removeDeadNeurons(model);
        const inputs = tf.randomNormal([5, 4], 0, 1, 'float32', seed);
        expectClose(smaller, model, inputs);
        const left = deadNeurons(smaller).flatMap(({ unread, unfed }) => [...unread, ...unfed]);
        // At most the one of each of the two groups that has to stay.
        expect(left.length).toBeLessThanOrEqual(2);
      }),
      { seed: 3, numRuns: 25 },
    );
  });

  it('leaves no tensor behind', async () => {
    const model = perceptron(
      [
        [0, 1, 2],
        [0, 3, 4],
      ],
      [
        [5, 6],
        [0, 0],
        [7, 8],
      ],
    );
    await expectNoLeaks(async () => {
      (await removeDeadNeurons(model)).dispose();
    });
  });
});
