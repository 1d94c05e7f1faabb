import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { unary } from '../src/kernels/unary.ts';
import { on, values } from './helpers.ts';
import { expectAlike, read } from './special.ts';

const WHOLE = [0, 1, -1, 2, -2, 3, 5, -5, 6, 7, -7, 100, -100, 256, 257, 2_000_000_000];
const ATTRS = { alpha: 0.4, clipValueMin: -2.5, clipValueMax: 6 };

for (const { kernelName } of unary) {
  test(`${kernelName} of int32 and bool is f(x) with the fraction cut off`, async () => {
    const x = kernelName === tf.Square || kernelName === tf.Selu ? WHOLE.slice(0, -1) : WHOLE;
    for (const [dtype, data] of [
      ['int32', x],
      ['bool', [0, 1, 1, 0, 1]],
    ] as const) {
      const compute = () =>
        tf.engine().runKernel(kernelName, { x: tf.tensor1d([...data], dtype) }, ATTRS) as tf.Tensor;
      // cpu gives exp(x) - 1 in the type of x, but exp(x) in float32; here both are float32.
      if (kernelName !== tf.Expm1) await expectAlike(compute, 1e-6);
      else expect((await read('thimble', compute))[0]?.dtype).toBe('float32');
    }
  });
}

test('int32 division by zero is 0, and mod by zero 0, where stock wasm traps', async () => {
  const results = await on('thimble', () => {
    const a = tf.tensor1d([7, -7, 0, 9], 'int32');
    const b = tf.tensor1d([0, 0, 0, -4], 'int32');
    const inputs = { a, b };
    return [
      tf.div(a, b),
      tf.mod(a, b),
      tf.floorDiv(a, b),
      tf.engine().runKernel(tf.RealDiv, inputs) as tf.Tensor,
    ];
  });
  expect(results.map(({ data }) => data)).toEqual([
    [0, 0, 0, -3],
    [0, 0, 0, -3],
    [0, 0, 0, -3],
    [0, 0, 0, -2],
  ]);
});

test('mod of int32 has the sign of the divisor', async () => {
  const [rest] = await on('thimble', () =>
    tf.mod(tf.tensor1d([7, -7, 7, -7, 8], 'int32'), tf.tensor1d([4, 4, -4, -4, 4], 'int32')),
  );
  expect(rest?.data).toEqual([3, 1, -1, -3, 0]);
});

test('int32 powers equal the cpu backend', () =>
  expectAlike(() => {
    const a = tf.tensor2d([0, 1, -1, 2, -2, 7, 10, -10], [8, 1], 'int32');
    return tf.pow(a, tf.tensor1d([0, 1, 2, 5, -1, -2], 'int32'));
  }));

test('a cast to bool is x != 0, NaN included', async () => {
  const results = await read('thimble', () => [
    tf.cast(tf.tensor1d([0, -0, 0.5, -3, 256, Number.NaN, 1e-30]), 'bool'),
    tf.cast(tf.tensor1d([0, 1, -1, 256, 512], 'int32'), 'bool'),
    tf.cast(tf.tensor1d([0, 1], 'bool'), 'bool'),
  ]);
  expect(results).toEqual([
    { dtype: 'bool', shape: [7], data: [0, 0, 1, 1, 1, 1, 1] },
    { dtype: 'bool', shape: [5], data: [0, 1, 1, 1, 1] },
    { dtype: 'bool', shape: [2], data: [0, 1] },
  ]);
});

test('reverse of bool equals the cpu backend and leaves its neighbours alone', async () => {
  await expectAlike(() => {
    const x = tf.tensor3d(
      values([3, 4, 5], 2).map((v) => Number(v > 0)),
      [3, 4, 5],
      'bool',
    );
    const neighbours = Array.from({ length: 9 }, (_, i) => tf.fill([60], i));
    return [tf.reverse(x, 0), tf.reverse(x, [1, 2]), tf.reverse(x), ...neighbours];
  });
});

test('clipByValue of int32 stays int32', async () => {
  const [cut] = await read('thimble', () =>
    tf.clipByValue(tf.tensor1d([-9, -1, 0, 4, 100], 'int32'), -2, 5),
  );
  expect(cut).toEqual({ dtype: 'int32', shape: [5], data: [-2, -1, 0, 4, 5] });
});

test.each(['int32', 'bool'] as const)('stridedSlice keeps %s', async (dtype) => {
  const [out] = await on('thimble', () =>
    tf.cast(tf.stridedSlice(tf.tensor1d([1, 0, 1, 0, 0], dtype), [0], [5], [2]), 'float32'),
  );
  expect(out!.data).toEqual([1, 1, 0]);
  const [reversed] = await on('thimble', () =>
    tf.stridedSlice(tf.tensor1d([7, 8, 9], 'int32'), [2], [0], [-1]),
  );
  expect(reversed!.data).toEqual([9, 8]);
});

const int = (values: number[]) => tf.tensor1d(values, 'int32');
const bool = (values: number[]) => tf.tensor1d(values, 'bool');
const MIXED: [string, () => tf.Tensor | tf.Tensor[]][] = [
  ['int32 where true, float32 where not', () => tf.where(bool([1, 0]), int([1, 2]), [1.5, 2.5])],
  ['float32 where true, int32 where not', () => tf.where(bool([1, 0]), [1.5, 2.5], int([1, 2]))],
  ['bool where true, int32 where not', () => tf.where(bool([1, 0]), bool([1, 0]), int([5, 7]))],
  [
    'rows of float32 or bool',
    () =>
      tf.where(bool([1, 0]), tf.tensor2d([[1.5], [2]]), tf.tensor2d([[0], [1]], [2, 1], 'bool')),
  ],
  ['the largest of bool', () => tf.topk(bool([0, 1, 0, 1, 1]), 3).values],
  ['where the largest of bool are', () => tf.topk(bool([0, 1, 0, 1, 1]), 3).indices],
  ['a running sum of bool', () => tf.cumsum(bool([1, 0, 1, 1]))],
  ['a running product of bool', () => tf.cumprod(bool([1, 1, 0, 1]), 0, false, true)],
  ['argMax of no rows', () => tf.argMax(tf.zeros([0, 3, 2]), 1)],
  ['argMin of no rows', () => tf.argMin(tf.zeros([2, 3, 0, 4], 'bool'), -1)],
  [
    'batch normalisation of int32, and by int32',
    () => [
      tf.batchNorm(
        tf.tensor2d([[9, 2]], [1, 2], 'int32'),
        tf.tensor1d([0, 1]),
        tf.tensor1d([4, 1]),
      ),
      tf.batchNorm(tf.tensor2d([[9, 2]]), int([1, 1]), int([4, 1]), int([3, 0]), int([2, 2])),
    ],
  ],
];
test.each(MIXED)('%s: the types and values of the cpu backend', (_, compute) =>
  expectAlike(compute, 1e-6),
);

test('a product of bool counts', async () => {
  const [counts] = await read('thimble', () =>
    tf.matMul(
      tf.tensor2d([[1, 1, 0]], [1, 3], 'bool'),
      tf.tensor2d([[1], [1], [1]], [3, 1], 'bool'),
    ),
  );
  expect(counts).toEqual({ dtype: 'int32', shape: [1, 1], data: [2] });
});
