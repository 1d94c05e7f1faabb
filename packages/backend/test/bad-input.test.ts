// What a kernel cannot take is refused by name, and the heap stays whole: the backend computes rightly
// afterwards.
import '../src/index.ts';
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import * as tf from '@tensorflow/tfjs-core';
import { BackendError, ShapeError } from '@thimble/base';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import { expectClose, values } from './helpers.ts';

const backend = () => tf.backend() as unknown as BackendWasm;
const heapBytes = () => (backend().wasm as unknown as { HEAPU8: Uint8Array }).HEAPU8.length;
const run = (name: string, inputs: Record<string, tf.Tensor>, attrs: object = {}) =>
  tf.engine().runKernel(name, inputs, attrs as tf.NamedAttrMap) as tf.Tensor;

/** A tensor that is known to be whole, and a product whose value is known. */
let witness: tf.Tensor;
const WITNESS = values([999], 5);

beforeAll(async () => {
  await tf.setBackend('thimble');
  witness = tf.tensor(WITNESS);
});

afterEach(() => {
  expect(Array.from(witness.dataSync()), 'a tensor of somebody else').toEqual(Array.from(WITNESS));
  tf.tidy(() => {
    const ones = tf.ones<tf.Rank.R4>([1, 5, 5, 2]);
    const sums = tf.conv2d(ones, tf.ones<tf.Rank.R4>([3, 3, 2, 4]), 1, 'valid');
    expect([...sums.dataSync()]).toEqual(new Array(36).fill(18));
    expect(tf.sum(tf.matMul(tf.ones([7, 9]), tf.ones([9, 5]))).dataSync()[0]).toBe(315);
  });
});

describe('shapes that do not fit are refused:', () => {
  const conv = { strides: [1, 1], pad: 'valid', dataFormat: 'NHWC', dilations: [1, 1] };
  const pool = { filterSize: [4, 4], strides: [1, 1], pad: 'valid' };
  const cases: [string, () => tf.Tensor][] = [
    [
      'a convolution whose kernel is larger than its input',
      () => run(tf.Conv2D, { x: tf.ones([1, 2, 2, 1]), filter: tf.ones([3, 3, 1, 1]) }, conv),
    ],
    [
      'a depthwise convolution whose kernel is larger than its input',
      () =>
        run(
          tf.DepthwiseConv2dNative,
          { x: tf.ones([1, 2, 2, 1]), filter: tf.ones([3, 3, 1, 1]) },
          conv,
        ),
    ],
    [
      'the gradient of such a convolution',
      () =>
        run(
          tf.Conv2DBackpropFilter,
          { x: tf.ones([1, 2, 2, 1]), dy: tf.ones([1, 1, 1, 1]) },
          { ...conv, filterShape: [3, 3, 1, 1] },
        ),
    ],
    ['a pool larger than its input', () => run(tf.MaxPool, { x: tf.ones([1, 2, 2, 1]) }, pool)],
    [
      'segment ids of another number than the rows',
      () =>
        run(
          tf.UnsortedSegmentSum,
          { x: tf.ones([3, 2]), segmentIds: tf.tensor1d([0, 1], 'int32') },
          { numSegments: 2 },
        ),
    ],
    [
      'an index outside of gatherND',
      () => tf.gatherND(tf.ones([2]), tf.tensor2d([[5]], [1, 1], 'int32')),
    ],
  ];
  test.each(cases)('%s', (_, compute) => {
    expect(() => tf.tidy(compute)).toThrow(ShapeError);
  });

  // What tfjs checks before it asks for a kernel; a kernel asked without the check must not go astray either.
  const direct: [string, () => tf.Tensor][] = [
    [
      'matrices whose inner sizes differ',
      () =>
        run(
          tf.BatchMatMul,
          { a: tf.ones([2, 3]), b: tf.ones([400, 2]) },
          { transposeA: false, transposeB: false },
        ),
    ],
    ['operands that do not broadcast', () => run(tf.Maximum, { a: tf.ones([4]), b: tf.ones([3]) })],
    ['sums that do not broadcast', () => run(tf.Add, { a: tf.ones([4]), b: tf.ones([3]) })],
  ];
  test.each(direct)('%s', (_, compute) => {
    expect(() => tf.tidy(compute)).toThrow();
  });

  test('channels first in a fused kernel', () => {
    const filter = tf.ones<tf.Rank.R4>([2, 2, 3, 1]);
    const images = tf.ones<tf.Rank.R4>([1, 3, 5, 5]);
    const attrs = { strides: 1, pad: 'valid', dataFormat: 'NCHW', activation: 'linear' };
    const fused = () => tf.engine().runKernel('FusedConv2D', { x: images, filter }, attrs as never);
    expect(fused).toThrow(BackendError);
    tf.dispose([filter, images]);
  });
});

test('a disposed tensor is refused', () => {
  const x = tf.ones([2, 3]);
  x.dispose();
  expect(() => tf.add(x, x)).toThrow(BackendError);
  expect(() => tf.add(x, x)).toThrow(/after it was disposed/);
  expect(() => x.dataSync()).toThrow(/disposed/);
});

test('the heap grows between an allocation and the computation, and the result is right', () => {
  // Each product is larger than what is left of the heap, so making its output grows it.
  const before = heapBytes();
  const held: tf.Tensor[] = [];
  const rows = 4096;
  tf.tidy(() => {
    const a = values([rows, 2], 1);
    const b = values([2, rows], 2);
    for (let i = 0; i < 40 && heapBytes() <= before + 2 ** 27; i++) {
      const [left, right] = [tf.tensor2d(a, [rows, 2]), tf.tensor2d(b, [2, rows])];
      const product = tf.matMul(left, right); // 64 MB
      held.push(tf.keep(product));
      const some = [0, 1, rows + 7, rows * rows - 1];
      const found = some.map((at) => {
        const place = [Math.floor(at / rows), at % rows];
        return tf.slice(product, place, [1, 1]).dataSync()[0] as number;
      });
      const expected = some.map((at) => {
        const [row, column] = [Math.floor(at / rows), at % rows];
        return (
          (a[row * 2] as number) * (b[column] as number) +
          (a[row * 2 + 1] as number) * (b[rows + column] as number)
        );
      });
      expectClose(found, expected, 1e-6);
    }
  });
  tf.dispose(held);
  expect(heapBytes()).toBeGreaterThan(before);
});

test('out of memory near 4 GB is an error with a remedy, and what was made before is whole', () => {
  const made: tf.TensorInfo[] = [];
  const take = (count: number) => made.push(backend().makeOutput([count], 'float32'));
  try {
    // Memory is asked for, not touched: this takes no time and no real memory.
    expect(() => {
      for (let i = 0; i < 20; i++) take(2 ** 27); // 512 MB each
    }).toThrow(BackendError);
    expect(made.length).toBeGreaterThan(3);
    expect(() => take(2 ** 28)).toThrow(/no room for 1073741824 more bytes/);
    const big = tf.engine().makeTensorFromTensorInfo(made[0] as tf.TensorInfo);
    const before = [tf.memory().numTensors, backend().numDataIds()];
    expect(() => tf.add(big, 1)).toThrow(BackendError);
    expect(() => tf.tidy(() => tf.reverse(tf.reshape(big, [2, -1]), 1))).toThrow(BackendError);
    expect([tf.memory().numTensors, backend().numDataIds()], 'left behind').toEqual(before);
    big.dispose();
    made.shift();
  } finally {
    for (const { dataId } of made) backend().disposeData(dataId);
  }
  // Now there is room again.
  tf.dispose(tf.zeros([2 ** 20]));
});
