// One small net for every layer of tfjs-layers that can train, and for those without weights.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { values } from './helpers.ts';

const { layers } = tfl;
/** Any layer. */
export type Layer = Parameters<typeof layers.timeDistributed>[0]['layer'];

/** What is special about a case. */
export interface Options {
  /** The inputs are ids below this number. */
  ids?: number;
  /** Why cpu is no reference here: finite differences alone decide then. */
  cpuIsWrong?: string;
}
/** The layers in a row, on inputs of one shape. */
export type Case = [name: string, inputShape: number[], make: () => Layer[], options?: Options];

const image = [6, 7, 3];
const sequence = [5, 4];
const volume = [4, 5, 4, 2];
const conv2d = () => layers.conv2d({ filters: 3, kernelSize: 2, activation: 'tanh' });
const conv1d = () => layers.conv1d({ filters: 3, kernelSize: 2, activation: 'tanh' });
const dense = () => layers.dense({ units: 4 });

/** Layers that learn. */
export const withWeights: Case[] = [
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

/** Layers without weights, behind or before one that learns. */
export const withoutWeights: Case[] = [
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

/** Layers that join two branches. */
export const merges: Record<string, () => Layer> = {
  add: () => layers.add(),
  average: () => layers.average(),
  concatenate: () => layers.concatenate(),
  dot: () => layers.dot({ axes: 1 }),
  maximum: () => layers.maximum(),
  minimum: () => layers.minimum(),
  multiply: () => layers.multiply(),
};

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

/** The net of a case, compiled for gradient descent. */
export function chain(shape: number[], make: () => Layer[]): tfl.LayersModel {
  const input = tfl.input({ shape });
  const output = make().reduce((x, layer) => layer.apply(x) as tfl.SymbolicTensor, input);
  return finish(input, output);
}

/** The net of a case of {@link merges}. */
export function merge(make: () => Layer): tfl.LayersModel {
  const input = tfl.input({ shape: [5] });
  const branches = [dense(), dense()].map((branch) => branch.apply(input) as tfl.SymbolicTensor);
  return finish(input, make().apply(branches) as tfl.SymbolicTensor);
}

/** Inputs and targets of three samples. */
export function batch(model: tfl.LayersModel, ids?: number): [tf.Tensor, tf.Tensor] {
  const [inputShape, outputShape] = [model.inputs, model.outputs].map(
    ([end]) => (end as tfl.SymbolicTensor).shape.slice(1) as number[],
  );
  const x = inputs(inputShape as number[], ids);
  const shape = [BATCH, ...(outputShape as number[])];
  return [x, tf.tensor(values(shape, 12), shape)];
}
