import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { beforeAll, expect, test } from 'vitest';
import { installGradients } from '../src/gradients/index.ts';
import { check, expectGradient, expectSame, on, values } from './helpers.ts';

beforeAll(async () => {
  await tf.setBackend('thimble');
});

/** A loss that every entry of `y` moves, each by another amount. */
function weighted(y: tf.Tensor): tf.Scalar {
  return tf.sum(tf.mul(y, tf.tensor(values(y.shape, 99), y.shape))) as tf.Scalar;
}

const input = (shape: number[], seed = 1) => ({ shape, data: values(shape, seed) });

const size = fc.integer({ min: 1, max: 4 });

test('the gradient of matMul sums over the batch items that share an operand', () =>
  check(
    fc.record({
      batches: fc.constantFrom<[number[], number[]]>(
        [[3], [1]],
        [[1], [3]],
        [[], [3]],
        [[3], []],
        [
          [2, 1],
          [1, 3],
        ],
        [[2, 3], [3]],
        [[2, 3], []],
        [[1], [1]],
        [[2], [2]],
      ),
      rows: size,
      inner: size,
      columns: size,
      transposeA: fc.boolean(),
      transposeB: fc.boolean(),
      seed: fc.nat(1000),
    }),
    60,
    ({ batches, rows, inner, columns, transposeA, transposeB, seed }) => {
      const a = [...batches[0], ...(transposeA ? [inner, rows] : [rows, inner])];
      const b = [...batches[1], ...(transposeB ? [columns, inner] : [inner, columns])];
      return expectGradient(
        (x, y) => weighted(tf.matMul(x, y, transposeA, transposeB)),
        [input(a, seed), input(b, seed + 1)],
      );
    },
  ));

test('the gradient of matMul takes two kernels where nothing is broadcast', async () => {
  await tf.setBackend('thimble');
  const x = tf.ones([4, 3]);
  const w = tf.ones([3, 2]);
  const { kernelNames, kernels } = await tf.profile(() =>
    tf.tidy(() => tf.grads((a, b) => tf.matMul(a, b))([x, w])),
  );
  expect(kernels.filter(({ name }) => name === 'BatchMatMul')).toHaveLength(3);
  expect(kernelNames).not.toContain('Sum');
  expect(kernelNames).not.toContain('Reshape');
  tf.dispose([x, w]);
});

const norms = fc.record({
  shape: fc.constantFrom<number[]>([5, 3], [2, 4, 3], [2, 3, 2, 3], [2, 2, 2, 2, 3]),
  scale: fc.boolean(),
  offset: fc.boolean(),
  seed: fc.nat(1000),
});

test('the gradient of batchNorm is right without scale, without offset and for every rank', () =>
  check(norms, 24, async ({ shape, scale, offset, seed }) => {
    const inputs = [input(shape, seed), input([3], seed + 1), input([3], seed + 2)];
    (inputs[2] as { data: Float32Array }).data = values([3], seed + 2).map((v) => 1.5 + v / 2);
    if (scale) inputs.push(input([3], seed + 3));
    if (offset) inputs.push(input([3], seed + 4));
    await expectGradient((x, mean, variance, ...rest) => {
      const [s, o] = [scale ? rest[0] : undefined, offset ? rest[Number(scale)] : undefined];
      const y = tf.batchNorm(
        x as tf.Tensor4D,
        mean as never,
        variance as never,
        o as never,
        s as never,
      );
      return weighted(y);
    }, inputs);
  }));

test('batchNorm reads parameters of any broadcast shape, and so does its gradient', async () => {
  const shape = [2, 3, 2, 2];
  for (const own of [[1, 3, 1, 1], [2, 1, 1, 1], [2, 3, 2, 2], [1, 1, 1, 2], [2]]) {
    const inputs = [input(shape), input(own, 2), input(own, 3), input(own, 4), input(own, 5)];
    (inputs[2] as { data: Float32Array }).data = values(own, 3).map((v) => 1.5 + v / 2);
    const tensors = inputs.map(
      ({ data, shape }) =>
        () =>
          tf.tensor(data, shape),
    );
    await expectSame(() => {
      const [x, mean, variance, offset, scale] = tensors.map((make) => make());
      if (tf.getBackend() === 'cpu') {
        const normed = tf.div(tf.sub(x, mean), tf.sqrt(tf.add(variance, 1e-3)));
        return tf.add(tf.mul(normed, scale), offset);
      }
      return tf.batchNorm(
        x as tf.Tensor4D,
        mean as never,
        variance as never,
        offset as never,
        scale as never,
      );
    }, ['thimble', 'cpu']);
    await expectGradient(
      (x, mean, variance, offset, scale) =>
        weighted(
          tf.batchNorm(
            x as tf.Tensor4D,
            mean as never,
            variance as never,
            offset as never,
            scale as never,
          ),
        ),
      inputs,
    );
  }
});

test('other backends keep the stock gradients', async () => {
  const broadcast = () =>
    tf.tidy(() =>
      tf
        .grads((a, b) => tf.matMul(a, b))([tf.ones([2, 3, 4]), tf.ones([1, 4, 5])])
        .map((g) => g.shape),
    );
  for (const backend of ['cpu', 'wasm']) {
    await tf.setBackend(backend);
    expect(broadcast).toThrow(/does not match/);
    expect(() => tf.tidy(() => tf.grad((x) => tf.cumprod(x))(tf.ones([3])))).toThrow(
      /gradient function not found for Cumprod/,
    );
  }
  await tf.setBackend('thimble');
  expect(broadcast()).toEqual([
    [2, 3, 4],
    [1, 4, 5],
  ]);
});

test('installing twice changes nothing', async () => {
  const before = tf.getGradient('BatchMatMul');
  installGradients();
  expect(tf.getGradient('BatchMatMul')).toBe(before);
  const [y] = await on('thimble', () => tf.grad((x) => tf.matMul(x, x))(tf.ones([2, 2])));
  expect(y?.data).toEqual([4, 4, 4, 4]);
});
