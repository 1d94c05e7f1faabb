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

  /** Makes unit 0 of the layer "a" one that nothing feeds, with a bias of 0.5. */
  const cutOff = (model: tfl.LayersModel) => {
    const layer = model.getLayer('a');
    const [kernel] = layer.getWeights();
    const units = kernel!.shape.at(-1)!;
    const alive = tf.tensor1d(Array.from({ length: units }, (_, unit) => Math.min(unit, 1)));
    layer.setWeights([tf.mul(kernel!, alive), tf.fill([units], 0.5)]);
    return model;
  };
  const on = (layer: tfl.layers.Layer, ...from: tfl.SymbolicTensor[]) =>
    layer.apply(from.length === 1 ? from[0]! : from) as tfl.SymbolicTensor;
  const random = (shape: number[]) => tf.randomNormal(shape, 0, 1, 'float32', 5);

  it.each([
    ['multiplied with', () => tfl.layers.multiply()],
    ['added to', () => tfl.layers.add()],
  ])('keeps what a single channel is %s', async (_, merge) => {
    const model = withSeed(2, () => {
      const input = tfl.input({ shape: [4] });
      const a = on(dense({ name: 'a', units: 3 }), input);
      const gate = on(dense({ name: 'gate', units: 1 }), input);
      return tfl.model({ inputs: input, outputs: on(dense({ units: 2 }), on(merge(), a, gate)) });
    });
    expect(deadNeurons(cutOff(model))).toEqual([]);
    const smaller = await removeDeadNeurons(model);
    expectClose(smaller, model, random([3, 4]));
    expect(smaller.countParams()).toBe(model.countParams());
  });

  it('keeps a constant that a shared layer gets in two forms', async () => {
    const model = withSeed(2, () => {
      const input = tfl.input({ shape: [4] });
      const a = on(dense({ name: 'a', units: 3 }), input);
      const shared = dense({ units: 2 });
      const squashed = on(tfl.layers.activation({ activation: 'tanh' }), a);
      return tfl.model({ inputs: input, outputs: [on(shared, a), on(shared, squashed)] });
    });
    const smaller = await removeDeadNeurons(cutOff(model));
    const inputs = random([3, 4]);
    const [all, some] = [model, smaller].map((of) => of.predict(inputs) as tf.Tensor[]);
    all!.forEach((output, i) => {
      expect(some![i]!).toBeAllClose(output.dataSync(), 1e-5);
    });
  });

  it('keeps constants in images of open size where borders or sizes tell, and no others', async () => {
    const make = (padding: 'same' | 'valid', between: () => tfl.layers.Layer[]) =>
      withSeed(3, () =>
        cutOff(
          tfl.sequential({
            layers: [
              conv2d({
                name: 'a',
                filters: 3,
                kernelSize: 3,
                inputShape: [null, null, 2],
              } as unknown as Parameters<typeof conv2d>[0]),
              ...between(),
              conv2d({ filters: 2, kernelSize: 3, padding }),
            ],
          }),
        ),
      );
    const inputs = random([2, 7, 7, 2]);
    for (const [model, goes] of [
      [make('valid', () => []), true],
      [make('same', () => []), false],
      [make('valid', () => [tfl.layers.zeroPadding2d({ padding: 1 })]), false],
    ] as const) {
      const smaller = await removeDeadNeurons(model);
      expect(smaller.countParams() < model.countParams()).toBe(goes);
      expectClose(smaller, model, inputs);
    }
  });

  it('keeps a constant whose mean depends on the size, and names sizes that do not fit', async () => {
    const make = (kernelSize: number) =>
      withSeed(3, () =>
        cutOff(
          tfl.sequential({
            layers: [
              conv2d({
                name: 'a',
                filters: 3,
                kernelSize,
                inputShape: [null, null, 2],
              } as unknown as Parameters<typeof conv2d>[0]),
              tfl.layers.zeroPadding2d({ padding: 1 }),
              tfl.layers.globalAveragePooling2d({} as never),
              dense({ units: 2 }),
            ],
          }),
        ),
      );
    const model = make(3);
    expectClose(await removeDeadNeurons(model), model, random([2, 9, 9, 2]));
    const large = make(40);
    const tensors = tf.memory().numTensors;
    await expect(removeDeadNeurons(large)).rejects.toThrow(
      /does not take inputs of the sizes 32 and 64.*Give its input a fixed shape/,
    );
    expect(tf.memory().numTensors).toBe(tensors);
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
