// Steps of recipes after `slimmable`: a network of several widths stays one, also with batch normalisation.
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  compress,
  data,
  load,
  quantize,
  recipes,
  runtime,
  type Step,
  setWidth,
  steps,
  toSlimmable,
  widthsOf,
  withSeed,
} from 'thimble';
import { beforeAll, expect, test } from 'vitest';

const WIDTHS = [0.5, 1];
let train: data.ImageDataset;

beforeAll(async () => {
  await tf.setBackend('thimble');
  ({ train } = await data.syntheticDigits({ train: 200, test: 1, onProgress: false }));
});

const network = () =>
  withSeed(1, () =>
    tfl.sequential({
      layers: [
        tfl.layers.conv2d({
          name: 'conv',
          filters: 4,
          kernelSize: 5,
          strides: 3,
          inputShape: [28, 28, 1],
        }),
        tfl.layers.batchNormalization({ name: 'norm' }),
        tfl.layers.reLU(),
        tfl.layers.flatten(),
        tfl.layers.dense({ name: 'hidden', units: 8, activation: 'relu' }),
        tfl.layers.dense({ name: 'output', units: 10, activation: 'softmax' }),
      ],
    }),
  );
const slim = (epochs: number) => steps.slimmable({ widths: WIDTHS, epochs });
const run = (list: readonly Step[]) =>
  compress(network(), { data: train, steps: list, progress: false });

/** Values of weights by the end of their names. */
const valuesOf = (model: tfl.LayersModel, end: string) =>
  model.weights
    .filter(({ originalName }) => originalName.endsWith(end))
    .map((weight) => Array.from(weight.read().dataSync()));

const outputs = (model: tfl.LayersModel, width: number) => {
  setWidth(model, width);
  return tf.tidy(() =>
    [model.predict(train.tensors({ limit: 20 }).images)]
      .flat()
      .map((y) => Array.from(y.dataSync())),
  );
};

test('quantize keeps the widths, with batch normalisation of each', async () => {
  const slimmable = await toSlimmable(network(), { widths: WIDTHS });
  const small = await quantize(slimmable, { bits: 8 });
  expect(widthsOf(small)).toEqual(WIDTHS);
  for (const width of WIDTHS) {
    const [wanted, found] = [outputs(slimmable, width)[0]!, outputs(small, width)[0]!];
    expect(found).toHaveLength(wanted.length);
    for (const [i, value] of found.entries()) expect(value).toBeCloseTo(wanted[i]!, 1);
  }
  await expect(quantize(slimmable, { bits: 8, equalize: true })).rejects.toThrow(
    'layer "conv" (ThimbleSlimmableConv2D) would lose its widths. Take one width first (extractWidth)',
  );
});

test('anytime makes one file of several widths from a network with batch normalisation', async () => {
  const recipe = recipes.anytime({ widths: WIDTHS, epochs: 1 });
  const { model, bytes } = await compress(network(), { data: train, recipe, progress: false });
  const again = await load(bytes);
  expect(widthsOf(again)).toEqual(WIDTHS);
  for (const width of WIDTHS) expect(outputs(again, width)).toEqual(outputs(model, width));
  const { graph } = await runtime.decode(bytes);
  expect(graph.weights['hidden/kernel']!.encoding.values).toMatchObject({
    type: 'affine',
    bits: 8,
  });
});

test('rounding that is trained with keeps the widths', async () => {
  const { model, bytes } = await run([slim(0), steps.quantize({ bits: 4, epochs: 1 })]);
  expect(widthsOf(model)).toEqual(WIDTHS);
  const { graph } = await runtime.decode(bytes);
  expect(graph.weights['conv/kernel']!.encoding.values).toMatchObject({ type: 'affine', bits: 4 });
});

test.each([
  ['train', steps.train({ epochs: 1 })],
  ['prune', steps.prune({ sparsity: 0.5, epochs: 1 })],
  ['cluster', steps.cluster({ clusters: 8, epochs: 1 })],
  ['quantize', steps.quantize({ bits: 4, epochs: 1 })],
])('the training of %s is one of all widths', async (_, step) => {
  const before = await run([slim(1)]);
  const { model } = await run([slim(1), step]);
  // The statistics of the narrow width alone move when it is trained.
  const name = 'moving_mean_0.5';
  expect(valuesOf(model, name)).toHaveLength(1);
  expect(valuesOf(model, name)).not.toEqual(valuesOf(before.model, name));
});
