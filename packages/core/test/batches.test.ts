import '@tensorflow/tfjs-layers';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { DataError, ShapeError } from '@thimble/base';
import { type FitData, toSource } from '@thimble/core';
import { beforeAll, describe, expect, it } from 'vitest';
import { disposeBatch, drawBatch } from '../src/batches.ts';
import { useCpu } from './training-models.ts';

beforeAll(useCpu);

const xs = () =>
  tf.tensor2d([
    [0, 1],
    [2, 3],
    [4, 5],
  ]);
const ys = () => tf.tensor1d([7, 8, 9]);

async function draw(data: FitData, indices: number[]) {
  const batch = drawBatch(await toSource(data), Uint32Array.from(indices));
  const plain = (tensors: tf.Tensor[]) => tensors.map((tensor) => tensor.arraySync());
  const result = { xs: plain(batch.xs), ys: plain(batch.ys) };
  disposeBatch(batch);
  return result;
}

describe('toSource', () => {
  it.each<[string, () => FitData]>([
    ['xs and ys', () => ({ xs: xs(), ys: ys() })],
    ['x and y', () => ({ x: xs(), y: ys() })],
    ['images and labels', () => ({ images: xs(), labels: ys() })],
    ['a pair', () => [xs(), ys()]],
    ['lists', () => ({ xs: [xs()], ys: [ys()] })],
    [
      'a source',
      () => ({
        size: 3,
        batch: () => ({
          xs: tf.tensor2d([
            [4, 5],
            [0, 1],
          ]),
          ys: tf.tensor1d([9, 7]),
        }),
      }),
    ],
  ])('draws rows in the order asked for from %s', async (_, data) => {
    expect(await draw(data(), [2, 0])).toEqual({
      xs: [
        [
          [4, 5],
          [0, 1],
        ],
      ],
      ys: [[[9], [7]]],
    });
  });

  it('takes several inputs and outputs, and keeps whole numbers whole', async () => {
    const data = { xs: [xs(), tf.tensor1d([5, 6, 7], 'int32')], ys: [ys(), ys()] };
    const batch = drawBatch(await toSource(data), Uint32Array.of(1));
    expect(batch.xs.map((x) => x.dtype)).toEqual(['float32', 'int32']);
    expect(batch.xs[1]!.arraySync()).toEqual([[6]]);
    expect(batch.ys.length).toBe(2);
  });

  it('takes typed arrays with the shapes of the model', async () => {
    const shapes = { inputs: [[2, 2]], outputs: [[1]] };
    const bytes = Uint8Array.from({ length: 8 }, (_, i) => i);
    const source = await toSource({ xs: bytes, ys: new Float32Array([1, 2]) }, shapes);
    expect(source.size).toBe(2);
    const { xs: inputs } = drawBatch(source, Uint32Array.of(1));
    expect(inputs[0]!.dtype).toBe('float32');
    expect(inputs[0]!.arraySync()).toEqual([
      [
        [4, 5],
        [6, 7],
      ],
    ]);
  });

  it('leaves the tensors of the caller alone, and none of its own', async () => {
    const data = { xs: xs(), ys: ys() };
    const before = tf.memory().numTensors;
    await draw(data, [0, 1, 2]);
    expect(tf.memory().numTensors).toBe(before);
    expect(data.xs.isDisposed).toBe(false);
  });

  it('says which counts disagree', async () => {
    await expect(toSource({ xs: xs(), ys: tf.zeros([4, 1]) })).rejects.toThrow(DataError);
    await expect(toSource({ xs: xs(), ys: tf.zeros([4, 1]) })).rejects.toThrow(/4 examples.*has 3/);
  });

  it('refuses numbers that it would not use, as weights of examples', async () => {
    const data = { xs: xs(), ys: ys(), sampleWeights: tf.ones([3]) };
    await expect(toSource(data)).rejects.toThrow(DataError);
    await expect(toSource(data)).rejects.toThrow(/"sampleWeights".*a loss of your own/);
    const named = { x: xs(), y: ys(), name: 'points', classNames: ['a', 'b'] };
    expect((await toSource(named)).size).toBe(3);
  });

  it('refuses what is no data', async () => {
    await expect(toSource({ inputs: xs() } as never)).rejects.toThrow(/must be a source/);
    await expect(toSource({ xs: [[1, 2]], ys: ys() } as never)).rejects.toThrow(DataError);
    await expect(toSource({ xs: tf.scalar(1), ys: ys() })).rejects.toThrow(DataError);
    await expect(toSource(null as never)).rejects.toThrow(DataError);
    const odd = { xs: new Float32Array(7), ys: new Float32Array(3) };
    await expect(toSource(odd, { inputs: [[2]], outputs: [[1]] })).rejects.toThrow(ShapeError);
  });
});
