import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { check, expectClose, expectSame, on, values } from './helpers.ts';

const size = fc.integer({ min: 1, max: 20 });
const products = fc.record({
  batch: fc.constantFrom<[number[], number[]]>(
    [[], []],
    [[1], [1]],
    [[3], [3]],
    [[3], [1]],
    [[1], [3]],
    [
      [2, 3],
      [2, 3],
    ],
  ),
  rows: size,
  inner: size,
  columns: size,
  transposeA: fc.boolean(),
  transposeB: fc.boolean(),
  seed: fc.nat(1000),
});

type Product = typeof products extends fc.Arbitrary<infer T> ? T : never;

function operands(p: Product): [tf.Tensor, tf.Tensor] {
  const a = [...p.batch[0], ...(p.transposeA ? [p.inner, p.rows] : [p.rows, p.inner])];
  const b = [...p.batch[1], ...(p.transposeB ? [p.columns, p.inner] : [p.inner, p.columns])];
  return [tf.tensor(values(a, p.seed), a), tf.tensor(values(b, p.seed + 1), b)];
}

test('matMul equals the cpu backend for all transposes and batches', () =>
  check(products, 150, (p) =>
    expectSame(() => tf.matMul(...operands(p), p.transposeA, p.transposeB)),
  ));

test('matMul gradients equal the cpu backend', () =>
  check(
    products.filter(({ batch: [a, b] }) => a.join() === b.join()),
    60,
    (p) =>
      expectSame(() =>
        tf.grads((a, b) => tf.square(tf.matMul(a, b, p.transposeA, p.transposeB)))(operands(p)),
      ),
  ));

test('matMul broadcasts batches of several dimensions', async () => {
  // cpu pairs item i with item i of either operand, whatever the dimensions: [2,1] x [1,3] is wrong there.
  const [whole] = await on('thimble', () =>
    tf.matMul(
      tf.tensor(values([2, 1, 4, 5], 1), [2, 1, 4, 5]),
      tf.tensor(values([1, 3, 5, 2], 2), [1, 3, 5, 2]),
    ),
  );
  expect(whole?.shape).toEqual([2, 3, 4, 2]);
  const a = values([2, 1, 4, 5], 1);
  const b = values([1, 3, 5, 2], 2);
  const expected: number[] = [];
  for (let i = 0; i < 2; i++) {
    for (let j = 0; j < 3; j++) {
      for (let row = 0; row < 4; row++) {
        for (let column = 0; column < 2; column++) {
          let sum = 0;
          for (let k = 0; k < 5; k++) {
            sum += (a[(i * 4 + row) * 5 + k] as number) * (b[(j * 5 + k) * 2 + column] as number);
          }
          expected.push(sum);
        }
      }
    }
  }
  expectClose(whole?.data as number[], expected);
});

test('fused matMul equals the cpu backend for all transposes, batches, biases and activations', () =>
  check(
    fc.record({
      product: products.filter(({ batch: [a, b] }) => a.length < 2 && a.join() === b.join()),
      activation: fc.constantFrom(
        'linear' as const,
        'relu' as const,
        'relu6' as const,
        'elu' as const,
        'sigmoid' as const,
        'leakyrelu' as const,
        'prelu' as const,
      ),
      bias: fc.boolean(),
    }),
    150,
    ({ product, activation, bias }) =>
      expectSame(() => {
        const [a, b] = operands(product);
        const { columns, seed, transposeA, transposeB } = product;
        return tf.fused.matMul({
          a,
          b,
          transposeA,
          transposeB,
          activation,
          bias: bias ? tf.tensor1d(values([columns], seed + 2)) : undefined,
          preluActivationWeights:
            activation === 'prelu' ? tf.tensor1d(values([columns], seed + 3)) : undefined,
          leakyreluAlpha: 0.3,
        });
      }),
  ));

test('int32 matMul, which stock wasm refuses, is exact', () =>
  expectSame(() => {
    const a = tf.tensor2d([1, -2, 3, 4, 5, 6], [2, 3], 'int32');
    const out = tf.matMul(a, a, false, true);
    expect(out.dtype).toBe('int32');
    return [out, tf.math.confusionMatrix([0, 1, 2, 1], [0, 2, 2, 1], 3)];
  }));

test('a weight assigned anew is seen by the next product', async () => {
  await tf.setBackend('thimble');
  const x = tf.tensor2d([[1, 1]]);
  const weight = tf.variable(tf.tensor2d([[1], [2]]));
  const read = () => tf.tidy(() => tf.matMul(x, weight).dataSync()[0]);
  expect(read()).toBe(3);
  tf.tidy(() => weight.assign(tf.tensor2d([[10], [20]])));
  expect(read()).toBe(30);
  tf.dispose([x, weight]);
});

test('inner sizes that differ are refused', async () => {
  await tf.setBackend('thimble');
  const inputs = { a: tf.ones([2, 3]), b: tf.ones([4, 2]) };
  const attrs = { transposeA: false, transposeB: false };
  expect(() => tf.engine().runKernel(tf.BatchMatMul, inputs, attrs)).toThrow(
    /inner sizes differ, \[2, 3\] x \[4, 2\]/,
  );
  tf.dispose(inputs);
});
