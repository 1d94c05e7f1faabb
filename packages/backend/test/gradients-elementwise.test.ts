// The gradients of elementwise functions: finite differences, the stock gradients, and once more derived.
import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { expectClose, expectGradient, expectSame, on, values } from './helpers.ts';

beforeAll(async () => {
  tf.env().set('IS_TEST', false); // it reports false leaks where fused ops are differentiated
  await tf.setBackend('thimble');
});

type Unary = (x: tf.Tensor) => tf.Tensor;
const unary: Record<string, [Unary, offset: number]> = {
  relu: [tf.relu, 0],
  clipByValue: [(x) => tf.clipByValue(x, -0.4, 0.5), 0],
  softmax: [(x) => tf.softmax(x), 0],
  log: [tf.log, 2],
};
const weighted = (y: tf.Tensor) => {
  const weights = tf.tensor(values(y.shape, 7), y.shape);
  return tf.sum(tf.mul(tf.add(tf.square(y), y), weights)) as tf.Scalar;
};

describe.each(Object.entries(unary))('%s', (name, [f, offset]) => {
  const input = (shape: number[]) => tf.add(tf.tensor(values(shape, 3), shape), offset);

  test.each([[[3, 5]], [[4, 4]], [[1]], [[2, 3, 7]]])('shape %j', async (shape) => {
    const gradient = () => tf.grad((x) => weighted(f(x)))(input(shape));
    await expectSame(gradient, ['thimble', 'wasm'], 1e-6);
    const data = values(shape, 3).map((v) => v + offset);
    await expectGradient((x) => weighted(f(x!)), [{ shape, data }], {
      step: 1e-3,
      tolerance: 3e-3,
    });
  });

  test('the gradient of the gradient', async () => {
    const slope = tf.grad((z) => weighted(f(z)));
    const squared = (x: tf.Tensor) => tf.sum(tf.square(slope(x))) as tf.Scalar;
    if (name === 'softmax') {
      // tfjs takes a saved output for a constant here, on every backend: as wrong as stock, no more.
      await expectSame(() => tf.grad(squared)(input([3, 5])), ['thimble', 'wasm'], 1e-5);
      return;
    }
    const data = values([3, 5], 3).map((v) => v + offset);
    await expectGradient((x) => squared(x!), [{ shape: [3, 5], data }], {
      step: 1e-3,
      tolerance: 1e-2,
    });
  });

  test('of nothing is nothing', async () => {
    const [dx] = await on('thimble', () => tf.grad((x) => weighted(f(x)))(tf.zeros([0, 3])));
    expect(dx!.shape).toEqual([0, 3]);
  });
});

const SHAPES = [
  [
    [3, 4],
    [3, 4],
  ],
  [[3, 4], [4]],
  [
    [3, 1],
    [3, 4],
  ],
  [[], [2, 3]],
  [
    [2, 1, 4],
    [3, 1],
  ],
];

describe.each([
  ['mul', tf.mul],
  ['div', tf.div],
] as const)('%s', (name, op) => {
  test.each(SHAPES)('%j with %j', async (a, b) => {
    const [da, db] = [values(a, 1), values(b, 2).map((v) => v + 2)];
    const f = (x: tf.Tensor, y: tf.Tensor) => weighted(op(x, y));
    const gradients = () => tf.grads(f)([tf.tensor(da, a), tf.tensor(db, b)]);
    await expectSame(gradients, ['thimble', 'wasm'], 1e-5);
    const inputs = [
      { shape: a, data: da },
      { shape: b, data: db },
    ];
    await expectGradient(f as never, inputs, { step: 1e-2, tolerance: 1e-2 });
  });

  test('by an int32 operand', async () => {
    const [dx] = await on('thimble', () => {
      const whole = tf.tensor1d([2, 4], 'int32');
      return tf.grad((x) => tf.sum(op(x, whole)) as tf.Scalar)(tf.tensor1d([1, 1]));
    });
    expectClose(dx!.data, name === 'mul' ? [2, 4] : [0.5, 0.25]);
  });
});

test('a NaN in the input or in the gradient of ReLU is not lost', async () => {
  const [dx] = await on('thimble', () => {
    const x = tf.tensor1d([Number.NaN, 1, -1, 2, 0]);
    const dy = tf.tensor1d([1, Number.NaN, 1, 3, 5]);
    return tf.grad((z) => tf.relu(z))(x, dy);
  });
  expect(dx!.data).toEqual([Number.NaN, Number.NaN, 0, 3, 0]);
});
