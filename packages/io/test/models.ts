// Models of every kind that files must hold.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { Random, withSeed } from '@thimble/base';

const { layers } = tfl;

type Symbolic = tfl.SymbolicTensor;
const apply = (layer: tfl.layers.Layer, ...inputs: Symbolic[]) =>
  layer.apply(inputs.length === 1 ? inputs[0]! : inputs) as Symbolic;

/** Weights that are all different and not what initializers give. */
function filled(model: tfl.LayersModel): tfl.LayersModel {
  const random = new Random(5, 'weights');
  tf.tidy(() => {
    model.setWeights(
      model.getWeights().map((weight) => {
        const values = Float32Array.from({ length: weight.size }, () => random.uniform(0.1, 0.9));
        return tf.tensor(values, weight.shape);
      }),
    );
  });
  return model;
}

const builders: Record<string, () => tfl.LayersModel> = {
  sequential: () =>
    tfl.sequential({
      name: 'sequential',
      layers: [
        layers.conv2d({ filters: 3, kernelSize: 3, inputShape: [6, 6, 1], activation: 'relu' }),
        layers.batchNormalization(),
        layers.depthwiseConv2d({ kernelSize: 2, depthMultiplier: 2 }),
        layers.separableConv2d({ filters: 4, kernelSize: 2 }),
        layers.globalAveragePooling2d({}),
        layers.dropout({ rate: 0.5 }),
        layers.dense({ units: 4, activation: 'softmax' }),
      ],
    }),
  'residual, concat, two inputs and outputs': () => {
    const [a, b] = [tfl.input({ shape: [5], name: 'a' }), tfl.input({ shape: [5], name: 'b' })];
    const shared = layers.dense({ units: 5, name: 'shared', activation: 'elu' });
    const [left, right] = [apply(shared, a), apply(shared, b)];
    const sum = apply(layers.add(), left, a);
    const both = apply(layers.concatenate({ axis: -1 }), sum, right);
    const outputs = [
      apply(layers.dense({ units: 2, name: 'first' }), both),
      apply(layers.dense({ units: 3, name: 'second', activation: 'softmax' }), both),
    ];
    return tfl.model({ inputs: [a, b], outputs, name: 'branched' });
  },
  'nested models': () => {
    const inner = tfl.sequential({ layers: [layers.dense({ units: 3, inputShape: [4] })] });
    return tfl.sequential({ layers: [inner, layers.dense({ units: 2 })] });
  },
  recurrent: () =>
    tfl.sequential({
      layers: [
        layers.embedding({ inputDim: 9, outputDim: 4, inputLength: 5 }),
        layers.bidirectional({
          layer: layers.lstm({ units: 3, returnSequences: true }) as tfl.RNN,
          mergeMode: 'concat',
        }),
        layers.timeDistributed({ layer: layers.dense({ units: 4, activation: 'tanh' }) }),
        layers.gru({ units: 3 }),
        layers.dense({ units: 2 }),
      ],
    }),
};

/** Their names. */
export const MODELS: readonly string[] = Object.keys(builders);

/** One of them, with the same weights every time. */
export function modelNamed(name: string): tfl.LayersModel {
  return filled(withSeed(3, () => builders[name]!()));
}

/** Inputs for a model: whole numbers, which embeddings take too. */
export function inputsOf(model: tfl.LayersModel): tf.Tensor[] {
  return model.inputs.map(({ shape }, i) => {
    const sizes = shape.map((size) => size ?? 3);
    const random = new Random(i, 'inputs');
    const values = Float32Array.from({ length: sizes.reduce((n, size) => n * size, 1) }, () =>
      random.integer(9),
    );
    return tf.tensor(values, sizes);
  });
}

/** All outputs as numbers. */
export function outputsOf(model: tfl.LayersModel): number[] {
  const inputs = inputsOf(model);
  const numbers = tf.tidy(() =>
    [model.predict(inputs)].flat().flatMap((output) => Array.from(output.dataSync())),
  );
  tf.dispose(inputs);
  return numbers;
}
