import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { DataError, ShapeError } from '@thimble/base';
import { type FitData, type FitOptions, fit } from '@thimble/core';
import { beforeAll, describe, expect, it } from 'vitest';
import { classifier, line, points, useCpu, weightsOf } from './training-models.ts';

beforeAll(useCpu);

const oneHot = { loss: 'categoricalCrossentropy', progress: false } as const;
const sparse = { loss: 'sparseCategoricalCrossentropy', progress: false } as const;

/** The error, after a look that no weight has moved. */
async function refusal(data: FitData, options: FitOptions, model = classifier()): Promise<Error> {
  const before = weightsOf(model);
  const error = await fit(model, data, options).then(
    () => new Error('it trained'),
    (thrown: Error) => thrown,
  );
  expect(weightsOf(model)).toEqual(before);
  return error;
}

describe('fit refuses', () => {
  it('inputs of another shape', async () => {
    const error = await refusal({ xs: tf.zeros([4, 3]), ys: tf.zeros([4, 2]) }, oneHot);
    expect(error).toBeInstanceOf(ShapeError);
    expect(error.message).toMatch(/shape \[3\], but the model takes \[2\]/);
  });

  it('class numbers for a one-hot loss, naming the sparse one', async () => {
    const error = await refusal({ xs: tf.zeros([4, 2]), ys: tf.zeros([4]) }, oneHot);
    expect(error).toBeInstanceOf(ShapeError);
    expect(error.message).toMatch(/'sparseCategoricalCrossentropy'/);
  });

  it('one-hot labels for a sparse loss, naming the other one', async () => {
    const error = await refusal(points(4), sparse);
    expect(error).toBeInstanceOf(ShapeError);
    expect(error.message).toMatch(/'categoricalCrossentropy'/);
  });

  it('one-hot labels of another width', async () => {
    const error = await refusal({ xs: tf.zeros([4, 2]), ys: tf.zeros([4, 3]) }, oneHot);
    expect(error.message).toMatch(/shape \[3\] per example, but the output has \[2\]/);
  });

  it.each([[2], [-1], [0.5]])('the class number %d of two classes', async (label) => {
    const ys = tf.tensor1d([0, 1, label, 0]);
    const error = await refusal({ xs: tf.zeros([4, 2]), ys }, sparse);
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toContain(`label ${label} of`);
    expect(error.message).toMatch(/example 2 is no class number from 0 to 1/);
  });

  it('binary labels of -1', async () => {
    const data = { xs: tf.zeros([2, 1]), ys: tf.tensor1d([-1, 1]) };
    const error = await refusal(data, { loss: 'binaryCrossentropy', progress: false }, line());
    expect(error.message).toMatch(/label -1 .* not from 0 to 1/);
  });

  it('NaN in inputs and labels, saying where', async () => {
    const { xs, ys } = points(4);
    const holed = xs.slice();
    holed[5] = Number.NaN;
    const error = await refusal({ xs: holed, ys }, oneHot);
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toMatch(/has NaN in example 2/);
    const bad = ys.slice();
    bad[7] = Number.POSITIVE_INFINITY;
    expect((await refusal({ xs, ys: bad }, oneHot)).message).toMatch(/Infinity in example 3/);
  });

  it('bad validation data before the first epoch', async () => {
    const validationData = { xs: tf.zeros([4, 5]), ys: tf.zeros([4, 2]) };
    const error = await refusal(points(8), { ...oneHot, validationData });
    expect(error.message).toMatch(/^fit: validationData: /);
  });

  it('a source whose first batch is wrong', async () => {
    const wrong = { size: 9, batch: () => ({ xs: tf.zeros([5, 2]), ys: tf.zeros([5, 2]) }) };
    expect((await refusal(wrong, oneHot)).message).toMatch(/asked for 9 examples/);
    const holed = {
      size: 2,
      batch: () => ({ images: tf.fill([2, 2], Number.NaN), labels: tf.zeros([2, 2]) }),
    };
    const before = tf.memory().numTensors;
    expect(await refusal(holed, oneHot, classifier())).toBeInstanceOf(DataError);
    expect(tf.memory().numTensors).toBe(before + 4);
  });

  it('no examples, too many inputs, too few labels', async () => {
    expect((await refusal({ size: 0, batch: () => never() }, oneHot)).message).toMatch(
      /no examples/,
    );
    const x = tf.zeros([4, 2]);
    expect((await refusal({ xs: [x, x], ys: x }, oneHot)).message).toMatch(/1 inputs.*data 2/);
    expect((await refusal({ xs: x, ys: [] }, oneHot)).message).toMatch(/1 outputs.*labels for 0/);
  });
});

it('anything goes as labels of a loss function of the caller', async () => {
  const loss = (_: tf.Tensor, yPred: tf.Tensor) => tf.mean(tf.square(yPred));
  const data = { xs: tf.zeros([4, 2]), ys: tf.zeros([4, 7]) };
  await fit(classifier(), data, { loss, progress: false });
});

it('axes that the model leaves open take any length', async () => {
  const model = tfl.sequential({
    layers: [
      tfl.layers.globalAveragePooling1d({ inputShape: [null, 2] as never }),
      tfl.layers.dense({ units: 1 }),
    ],
  });
  const data = { xs: tf.ones([4, 7, 2]), ys: tf.ones([4]) };
  await fit(model, data, { loss: 'meanSquaredError', progress: false });
});

function never(): never {
  throw new Error('no batch should have been drawn');
}
