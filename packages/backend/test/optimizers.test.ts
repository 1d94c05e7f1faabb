// The fused steps: the same numbers as tf.train.*, for unchanged code, and nobody else's tensors touched.
import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { beforeAll, describe, expect, test } from 'vitest';
import { expectClose, values } from './helpers.ts';

beforeAll(async () => {
  tf.env().set('IS_TEST', false); // it reports false leaks where fused ops are differentiated
  await tf.setBackend('thimble');
});

/** Sizes with and without a rest to a whole vector; one of them empty. */
const SHAPES = [[7], [4, 4], [3, 5, 2], [], [0, 3]];

const makers: Record<string, () => tf.Optimizer> = {
  sgd: () => tf.train.sgd(0.1),
  momentum: () => tf.train.momentum(0.1, 0.9),
  'momentum, Nesterov': () => tf.train.momentum(0.1, 0.9, true),
  rmsprop: () => tf.train.rmsprop(0.01, 0.8, 0.5),
  'rmsprop, centred': () => tf.train.rmsprop(0.01, 0.9, 0.5, 1e-3, true),
  adam: () => tf.train.adam(0.02, 0.8, 0.99),
};

/** The weights and all state after `steps` steps on made-up gradients, some of them missing. */
async function after(
  backend: string,
  make: () => tf.Optimizer,
  steps: number,
): Promise<number[][]> {
  await tf.setBackend(backend);
  const optimizer = make();
  const weights = tf.tidy(() =>
    SHAPES.map((shape, i) =>
      tf.variable(tf.tensor(values(shape, i), shape), true, `${backend}-${i}`),
    ),
  );
  for (let step = 0; step < steps; step++) {
    const gradients = weights.map(({ name, shape }, i) => ({
      name,
      tensor: (i === 1 && step === 0 ? null : tf.tensor(values(shape, 100 * step + i), shape))!,
    }));
    optimizer.applyGradients(gradients);
    tf.dispose(gradients.map(({ tensor }) => tensor));
  }
  const state = await optimizer.getWeights();
  const read = [...weights, ...state.map(({ tensor }) => tensor)].map((t) => [...t.dataSync()]);
  tf.dispose([...weights, state[0]!.tensor]);
  optimizer.dispose();
  return read;
}

describe.each(Object.entries(makers))('%s', (_, make) => {
  test('ten steps give the same bits as on wasm', async () => {
    const tensors = () => tf.memory().numTensors;
    const before = tensors();
    const stock = await after('wasm', make, 10);
    const kept = tensors() - before; // tfjs never frees the rate of its momentum optimizer
    const fused = await after('thimble', make, 10);
    expect(fused).toEqual(stock);
    expect(tensors() - before).toBe(2 * kept);
  });
});

test('adadelta is that of the paper: x = 1.3, f = x^2, rate 0.5', async () => {
  await tf.setBackend('thimble');
  const x = tf.variable(tf.scalar(1.3));
  const optimizer = tf.train.adadelta(0.5, 0.95, 1e-6);
  optimizer.minimize(() => tf.square(x) as tf.Scalar);
  const g = 2.6;
  const step = (Math.sqrt(1e-6) / Math.sqrt(0.05 * g * g + 1e-6)) * g;
  expect(x.dataSync()[0]).toBeCloseTo(1.3 - 0.5 * step, 6);
  tf.dispose(x);
  optimizer.dispose();
});

test('adadelta descends where the stock one stands still', async () => {
  await tf.setBackend('thimble');
  const x = tf.variable(tf.scalar(1.3));
  const optimizer = tf.train.adadelta(0.5, 0.95, 1e-6);
  for (let i = 0; i < 500; i++) optimizer.minimize(() => tf.square(x) as tf.Scalar);
  expect(Math.abs(x.dataSync()[0]!)).toBeLessThan(1);
  tf.dispose(x);
  optimizer.dispose();
});

test('tensors that share data with a weight keep their values', async () => {
  await tf.setBackend('thimble');
  const initial = tf.tensor1d([1, 2, 3]);
  const weight = tf.variable(initial);
  const copy = tf.clone(weight);
  const optimizer = tf.train.sgd(1);
  const gradient = tf.tensor1d([1, 1, 1]);
  optimizer.applyGradients([{ name: weight.name, tensor: gradient }]);
  expect([...weight.dataSync()]).toEqual([0, 1, 2]);
  expect([...initial.dataSync()]).toEqual([1, 2, 3]);
  expect([...copy.dataSync()]).toEqual([1, 2, 3]);
  tf.dispose([initial, weight, copy, gradient]);
  optimizer.dispose();
});

test.each(['sgd', 'rmsprop', 'adam'])(
  "compile({ optimizer: '%s' }) takes the fused step",
  async (name) => {
    await tf.setBackend('thimble');
    const model = tfl.sequential({ layers: [tfl.layers.dense({ units: 3, inputShape: [4] })] });
    model.compile({ optimizer: name, loss: 'meanSquaredError' });
    const [x, y] = [tf.ones([5, 4]), tf.ones([5, 3])];
    await model.trainOnBatch(x, y);
    const { kernelNames } = await tf.profile(async () => {
      await model.trainOnBatch(x, y);
      return x;
    });
    expect(kernelNames).not.toContain('Sqrt');
    expect(kernelNames.filter((kernel) => kernel === 'RealDiv').length).toBeLessThan(4);
    tf.dispose([x, y]);
    model.dispose();
  },
);

test('a weight trained in place is the trained one for the stock kernels too', async () => {
  await tf.setBackend('thimble');
  const weight = tf.variable(tf.tensor2d(values([6, 5], 1), [6, 5]));
  const x = tf.tensor2d(values([4, 6], 2), [4, 6]);
  const filter = tf.variable(tf.tensor4d(values([3, 3, 2, 4], 3), [3, 3, 2, 4]));
  const image = tf.tensor4d(values([1, 5, 5, 2], 4), [1, 5, 5, 2]);
  const predict = async (backend: string) => {
    await tf.setBackend(backend);
    return tf.tidy(() => [
      ...tf.matMul(x, weight as unknown as tf.Tensor2D).dataSync(),
      ...tf.conv2d(image, filter as unknown as tf.Tensor4D, 1, 'same').dataSync(),
    ]);
  };
  await predict('wasm'); // XNNPACK packs the weights
  await tf.setBackend('thimble');
  const optimizer = tf.train.adam(0.1);
  optimizer.minimize(
    () => tf.add(tf.sum(tf.square(weight)), tf.sum(tf.square(filter))) as tf.Scalar,
  );
  expectClose(await predict('wasm'), await predict('thimble'), 1e-6);
  tf.dispose([weight, x, filter, image]);
  optimizer.dispose();
});
