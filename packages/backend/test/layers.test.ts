// One training step of every layer of tfjs-layers that can train: the step on thimble equals the step on
// cpu, and finite differences of the loss say the same.
import '../src/index.ts';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { beforeAll, describe, expect, test } from 'vitest';
import { registerChainedOps, values } from './helpers.ts';

const { layers } = tfl;
type Layer = Parameters<typeof layers.timeDistributed>[0]['layer'];

interface Options {
  /** The inputs are ids below this number. */
  ids?: number;
  /** Why cpu is no reference here: finite differences alone decide then. */
  cpuIsWrong?: string;
}
type Case = [name: string, inputShape: number[], make: () => Layer[], options?: Options];

const image = [6, 7, 3];
const sequence = [5, 4];
const volume = [4, 5, 4, 2];
const conv2d = () => layers.conv2d({ filters: 3, kernelSize: 2, activation: 'tanh' });
const conv1d = () => layers.conv1d({ filters: 3, kernelSize: 2, activation: 'tanh' });
const dense = () => layers.dense({ units: 4 });

const withWeights: Case[] = [
  ['dense', [5], () => [layers.dense({ units: 4, activation: 'sigmoid' })]],
  ['conv1d', [9, 3], () => [layers.conv1d({ filters: 4, kernelSize: 3, strides: 2 })]],
  ['conv2d valid', image, () => [layers.conv2d({ filters: 4, kernelSize: 3 }), conv2d()]],
  [
    "conv2d 'same', strides 2 and 3",
    image,
    () => [
      conv2d(),
      layers.conv2d({ filters: 4, kernelSize: 2, strides: [2, 3], padding: 'same' }),
    ],
  ],
  ['conv2d 1x1', image, () => [conv2d(), layers.conv2d({ filters: 9, kernelSize: 1 })]],
  [
    'conv2dTranspose',
    image,
    () => [
      layers.conv2dTranspose({ filters: 2, kernelSize: 3, strides: 2, padding: 'same' }),
      layers.conv2dTranspose({ filters: 3, kernelSize: 2 }),
    ],
  ],
  ['conv3d', volume, () => [layers.conv3d({ filters: 3, kernelSize: 2 })]],
  [
    'depthwiseConv2d',
    image,
    () => [
      layers.depthwiseConv2d({ kernelSize: 3, padding: 'same' }),
      layers.depthwiseConv2d({ kernelSize: 2, strides: 2, depthMultiplier: 2 }),
    ],
  ],
  [
    'separableConv2d',
    image,
    () => [
      layers.separableConv2d({ filters: 4, kernelSize: 3, depthMultiplier: 2 }),
      layers.separableConv2d({ filters: 3, kernelSize: 2, strides: 2, padding: 'same' }),
    ],
  ],
  ['embedding', [6], () => [layers.embedding({ inputDim: 7, outputDim: 3 })], { ids: 7 }],
  [
    'embedding with a mask, then lstm',
    [6],
    () => [
      layers.embedding({ inputDim: 4, outputDim: 3, maskZero: true }),
      layers.lstm({ units: 3 }),
    ],
    { ids: 4 },
  ],
  ['simpleRNN', sequence, () => [layers.simpleRNN({ units: 3 })]],
  ['lstm', sequence, () => [layers.lstm({ units: 3, returnSequences: true })]],
  ['gru', sequence, () => [layers.gru({ units: 3 })]],
  [
    'rnn of stackedRNNCells',
    sequence,
    () => [
      layers.rnn({
        cell: layers.stackedRNNCells({
          cells: [layers.gruCell({ units: 3 }), layers.lstmCell({ units: 2 })],
        }),
      }),
    ],
  ],
  [
    'bidirectional lstm',
    sequence,
    () => [
      layers.bidirectional({
        layer: layers.lstm({ units: 2, returnSequences: true }) as unknown as tfl.RNN,
        mergeMode: 'concat',
      }),
    ],
  ],
  ['timeDistributed dense', sequence, () => [layers.timeDistributed({ layer: dense() })]],
  ['timeDistributed conv2d', [3, 5, 4, 2], () => [layers.timeDistributed({ layer: conv2d() })]],
  ['convLstm2d', [3, 5, 5, 2], () => [layers.convLstm2d({ filters: 2, kernelSize: 3 })]],
  ['batchNormalization', [5], () => [dense(), layers.batchNormalization()]],
  ['batchNormalization of images', image, () => [conv2d(), layers.batchNormalization()]],
  ['layerNormalization', sequence, () => [dense(), layers.layerNormalization()]],
  ['prelu', image, () => [conv2d(), layers.prelu()]],
];

const withoutWeights: Case[] = [
  ['maxPooling1d', [9, 3], () => [conv1d(), layers.maxPooling1d({ poolSize: 2 })]],
  [
    'maxPooling2d',
    image,
    () => [conv2d(), layers.maxPooling2d({ poolSize: 3, strides: 2, padding: 'same' })],
  ],
  ['maxPooling3d', volume, () => [dense(), layers.maxPooling3d({ poolSize: 2 })]],
  ['averagePooling1d', [9, 3], () => [conv1d(), layers.averagePooling1d({ poolSize: 2 })]],
  ['averagePooling2d', image, () => [conv2d(), layers.averagePooling2d({ poolSize: 2 })]],
  [
    "averagePooling2d 'same'",
    image,
    () => [conv2d(), layers.averagePooling2d({ poolSize: 3, strides: 2, padding: 'same' })],
    { cpuIsWrong: 'AvgPoolGrad divides by the whole window, the forward pass by what is in it' },
  ],
  ['averagePooling3d', volume, () => [dense(), layers.averagePooling3d({ poolSize: 2 })]],
  ['globalAveragePooling1d', [9, 3], () => [conv1d(), layers.globalAveragePooling1d()]],
  ['globalAveragePooling2d', image, () => [conv2d(), layers.globalAveragePooling2d({})]],
  ['globalMaxPooling1d', [9, 3], () => [conv1d(), layers.globalMaxPooling1d()]],
  ['globalMaxPooling2d', image, () => [conv2d(), layers.globalMaxPooling2d({})]],
  [
    'upSampling2d',
    image,
    () => [conv2d(), layers.upSampling2d({ size: [2, 3] })],
    { cpuIsWrong: 'ResizeNearestNeighborGrad is wrong for a batch above 1' },
  ],
  ['zeroPadding2d', image, () => [conv2d(), layers.zeroPadding2d({ padding: [1, 2] }), conv2d()]],
  [
    'cropping2D',
    image,
    () => [
      conv2d(),
      layers.cropping2D({
        cropping: [
          [1, 0],
          [2, 1],
        ],
      }),
    ],
  ],
  ['elu', [5], () => [dense(), layers.elu()]],
  ['leakyReLU', [5], () => [dense(), layers.leakyReLU()]],
  ['softmax', [5], () => [dense(), layers.softmax()]],
  ['activation selu', [5], () => [dense(), layers.activation({ activation: 'selu' })]],
  ['reshape', [6], () => [dense(), layers.reshape({ targetShape: [2, 2] }), dense()]],
  ['permute', sequence, () => [dense(), layers.permute({ dims: [2, 1] }), dense()]],
  ['repeatVector', [5], () => [dense(), layers.repeatVector({ n: 3 }), layers.gru({ units: 2 })]],
  ['masking', sequence, () => [layers.masking({}), layers.simpleRNN({ units: 3 })]],
];

const merges: Record<string, () => Layer> = {
  add: () => layers.add(),
  average: () => layers.average(),
  concatenate: () => layers.concatenate(),
  dot: () => layers.dot({ axes: 1 }),
  maximum: () => layers.maximum(),
  minimum: () => layers.minimum(),
  multiply: () => layers.multiply(),
};

beforeAll(() => {
  registerChainedOps();
  // The engine's leak check counts what fused ops save for their gradient as leaked, on every backend.
  tf.env().set('IS_TEST', false);
  tf.env().set('PROD', true);
});

const BATCH = 3;

function inputs(shape: number[], ids?: number): tf.Tensor {
  const data = values([BATCH, ...shape], 11);
  return tf.tensor(ids ? data.map((value) => Math.floor(((value + 1) / 2) * ids)) : data, [
    BATCH,
    ...shape,
  ]);
}

function finish(input: tfl.SymbolicTensor, output: tfl.SymbolicTensor): tfl.LayersModel {
  const flat =
    output.shape.length > 2 ? (layers.flatten().apply(output) as tfl.SymbolicTensor) : output;
  const model = tfl.model({ inputs: input, outputs: flat });
  model.compile({ optimizer: tf.train.sgd(1), loss: 'meanSquaredError' });
  return model;
}

function chain(shape: number[], make: () => Layer[]): tfl.LayersModel {
  const input = tfl.input({ shape });
  const output = make().reduce((x, layer) => layer.apply(x) as tfl.SymbolicTensor, input);
  return finish(input, output);
}

function merge(make: () => Layer): tfl.LayersModel {
  const input = tfl.input({ shape: [5] });
  const branches = [dense(), dense()].map((branch) => branch.apply(input) as tfl.SymbolicTensor);
  return finish(input, make().apply(branches) as tfl.SymbolicTensor);
}

function seedWeights(model: tfl.LayersModel): void {
  model.weights.forEach((weight, i) => {
    const data = values(weight.shape as number[], i).map((value) =>
      /variance/.test(weight.name) ? 1 + value / 2 : value,
    );
    weight.write(tf.tensor(data, weight.shape as number[]));
  });
}

function readAll(weights: tfl.LayerVariable[]): Float32Array[] {
  return weights.map((weight) => weight.read().dataSync().slice() as Float32Array);
}

interface Step {
  gradients: Float32Array[];
  loss: number;
  /** All weights after the step, moving averages among them. */
  after: Float32Array[];
}

/** One step of gradient descent at rate 1, so the gradient is what the weights lost. */
async function step(backend: string, build: () => tfl.LayersModel, ids?: number): Promise<Step> {
  await tf.setBackend(backend);
  const model = build();
  seedWeights(model);
  const [x, y] = batch(model, ids);
  const before = readAll(model.trainableWeights);
  const loss = (await model.trainOnBatch(x, y)) as number;
  const after = readAll(model.trainableWeights);
  const gradients = before.map((data, i) =>
    data.map((value, j) => value - ((after[i] as Float32Array)[j] as number)),
  );
  return { gradients, loss, after: readAll(model.weights) };
}

function batch(model: tfl.LayersModel, ids?: number): [tf.Tensor, tf.Tensor] {
  const [inputShape, outputShape] = [model.inputs, model.outputs].map(
    ([end]) => (end as tfl.SymbolicTensor).shape.slice(1) as number[],
  );
  const x = inputs(inputShape as number[], ids);
  const shape = [BATCH, ...(outputShape as number[])];
  return [x, tf.tensor(values(shape, 12), shape)];
}

const largest = (data: ArrayLike<number>): number => Math.max(...Array.from(data, Math.abs));

/** Asserts agreement relative to the largest entry. */
function expectNear(actual: Float32Array, expected: Float32Array, tolerance: number): void {
  const error = largest(actual.map((value, i) => value - (expected[i] as number)));
  expect(error).toBeLessThanOrEqual(tolerance * largest(expected) + 1e-6);
}

async function expectSlopes(
  build: () => tfl.LayersModel,
  gradients: Float32Array[],
  ids?: number,
): Promise<void> {
  await tf.setBackend('thimble');
  const model = build();
  seedWeights(model);
  const [x, y] = batch(model, ids);
  const loss = (): number =>
    tf.tidy(() => {
      const scores = model.apply(x, { training: true }) as tf.Tensor;
      return tf.losses.meanSquaredError(y, scores).dataSync()[0] as number;
    });
  let [entries, corners] = [0, 0];
  const step = 2e-3;
  model.trainableWeights.forEach((weight, which) => {
    const gradient = gradients[which] as Float32Array;
    const original = weight.read().dataSync().slice() as Float32Array;
    const at = (index: number, by: number): number => {
      const moved = original.slice();
      (moved[index] as number) += by;
      weight.write(tf.tensor(moved, weight.shape as number[]));
      return loss();
    };
    const tolerance = 0.01 * largest(gradient) + 2e-4;
    const stride = Math.max(1, Math.floor(original.length / 4));
    for (let index = 0; index < original.length; index += stride) {
      const [below, here, above] = [at(index, -step), at(index, 0), at(index, step)];
      const slopes = [(here - below) / step, (above - here) / step];
      // Between the slopes on both sides: they differ where a maximum or a PReLU has a corner there.
      const [low, high] = [Math.min(...slopes), Math.max(...slopes)];
      expect(gradient[index], `${weight.name}[${index}]`).toBeGreaterThanOrEqual(low - tolerance);
      expect(gradient[index], `${weight.name}[${index}]`).toBeLessThanOrEqual(high + tolerance);
      corners += Number(high - low > 2 * tolerance);
      entries++;
    }
    weight.write(tf.tensor(original, weight.shape as number[]));
  });
  expect(corners).toBeLessThanOrEqual(entries / 4);
}

async function expectRightStep(build: () => tfl.LayersModel, options: Options = {}): Promise<void> {
  const actual = await step('thimble', build, options.ids);
  expect(actual.gradients.length).toBeGreaterThan(0);
  for (const gradient of actual.gradients) expect(largest(gradient)).toBeGreaterThan(0);
  if (!options.cpuIsWrong) {
    const expected = await step('cpu', build, options.ids);
    expect(actual.loss).toBeCloseTo(expected.loss, 5);
    for (const [i, gradient] of expected.gradients.entries()) {
      expectNear(actual.gradients[i] as Float32Array, gradient, 1e-4);
    }
    for (const [i, weight] of expected.after.entries()) {
      expectNear(actual.after[i] as Float32Array, weight, 1e-4);
    }
  }
  await expectSlopes(build, actual.gradients, options.ids);
}

describe('a training step is right for', () => {
  test.each([...withWeights, ...withoutWeights])('%s', async (_, shape, make, options) => {
    await expectRightStep(() => chain(shape, make), options);
  });
  test.each(Object.entries(merges))('%s', async (_, make) => {
    await expectRightStep(() => merge(make));
  });
});
