// Networks that are written as ONNX, with weights that are all different.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { groupConv2d, models } from '@thimble/architecture';
import { Random, withSeed } from '@thimble/base';
import { expect } from 'vitest';

/** Numbers that are equal but for `within` times the largest, or times one. */
export function expectClose(
  got: ArrayLike<number>,
  wanted: ArrayLike<number>,
  within: number,
): void {
  expect(got.length).toBe(wanted.length);
  let worst = 0;
  let largest = 1;
  for (let i = 0; i < got.length; i++) {
    worst = Math.max(worst, Math.abs(got[i]! - wanted[i]!));
    largest = Math.max(largest, Math.abs(wanted[i]!));
  }
  expect(worst / largest).toBeLessThanOrEqual(within);
}

/** All outputs of a model. */
export function predicted(model: tfl.LayersModel, x: tf.Tensor): tf.Tensor[] {
  return tf.tidy(() => [model.predict(x)].flat());
}

/** All weights different, running statistics too. */
function filled(model: tfl.LayersModel): tfl.LayersModel {
  const random = new Random(7, 'onnx');
  tf.tidy(() => {
    model.setWeights(
      model.getWeights().map((weight) => {
        const vector = weight.shape.length === 1;
        const values = Float32Array.from(weight.dataSync(), (value) =>
          vector ? random.uniform(0.5, 1) : value + random.uniform(-0.01, 0.01),
        );
        return tf.tensor(values, weight.shape);
      }),
    );
  });
  return model;
}

type Symbolic = tfl.SymbolicTensor;

/** Residual, concatenated, grouped, and with an image flattened whose channels are many. */
function branched(): tfl.LayersModel {
  const { layers } = tfl;
  const apply = (layer: tfl.layers.Layer, ...inputs: Symbolic[]) =>
    layer.apply(inputs.length === 1 ? inputs[0]! : inputs) as Symbolic;
  const same = { padding: 'same' } as const;
  const x = tfl.input({ shape: [13, 14, 3], name: 'x' });
  const first = { filters: 6, kernelSize: 3, strides: 2, activation: 'relu6', ...same } as const;
  const a = apply(layers.conv2d({ ...first, name: 'first' }), x);
  const b = apply(
    layers.depthwiseConv2d({ kernelSize: 3, depthMultiplier: 2, activation: 'tanh', ...same }),
    a,
  );
  const c = apply(
    layers.separableConv2d({ filters: 6, kernelSize: [3, 2], activation: 'sigmoid', ...same }),
    b,
  );
  const sum = apply(layers.add(), a, c);
  const grouped = apply(
    groupConv2d({ filters: 4, kernelSize: 3, groups: 2, shuffle: true, ...same }),
    sum,
  );
  const both = apply(layers.concatenate(), grouped, sum);
  const pool = apply(layers.maxPooling2d({ poolSize: 3, strides: 2, ...same }), both);
  const mean = apply(layers.averagePooling2d({ poolSize: 2, strides: 1, ...same }), pool);
  const padding: [[number, number], [number, number]] = [
    [1, 0],
    [2, 1],
  ];
  const wide = apply(
    layers.leakyReLU({ alpha: 0.1 }),
    apply(layers.zeroPadding2d({ padding }), mean),
  );
  const flat = apply(layers.flatten(), apply(layers.dropout({ rate: 0.5 }), wide));
  const hidden = apply(layers.dense({ units: 7, activation: 'elu', name: 'hidden' }), flat);
  const gate = layers.dense({ units: 10, activation: 'hardSigmoid' });
  const pooled = apply(layers.globalAveragePooling2d({}), wide);
  const gates = apply(layers.reshape({ targetShape: [1, 1, 10] }), apply(gate, pooled));
  const gated = apply(layers.multiply(), wide, gates);
  const outputs = [
    apply(layers.dense({ units: 5, activation: 'softmax', name: 'classes' }), hidden),
    apply(layers.activation({ activation: 'softmax' }), apply(layers.flatten(), gated)),
    apply(layers.dense({ units: 3, activation: 'selu', name: 'pixels' }), gated),
    apply(layers.permute({ dims: [2, 1, 3] }), gated),
    apply(layers.average(), wide, gated),
    hidden,
    wide,
  ];
  return tfl.model({ inputs: x, outputs, name: 'branched' });
}

function sequence(): tfl.LayersModel {
  const { layers } = tfl;
  const conv = {
    filters: 4,
    kernelSize: 3,
    strides: 2,
    padding: 'same',
    activation: 'relu',
  } as const;
  return tfl.sequential({
    layers: [
      layers.conv1d({ ...conv, inputShape: [10, 3] }),
      layers.maxPooling1d({}),
      layers.timeDistributed({ layer: layers.dense({ units: 5 }) }),
      layers.batchNormalization(),
      layers.globalMaxPooling1d(),
      layers.dense({ units: 2 }),
    ],
  });
}

/** Outputs that are one value under two names: images and vectors, in either order. */
function twice(): tfl.LayersModel {
  const { layers } = tfl;
  const on = (layer: tfl.layers.Layer, input: Symbolic) => layer.apply(input) as Symbolic;
  const x = tfl.input({ shape: [5, 6, 2], name: 'x' });
  const a = on(layers.conv2d({ filters: 3, kernelSize: 2, activation: 'relu', name: 'a' }), x);
  const b = on(layers.dropout({ rate: 0.5, name: 'b' }), a);
  const c = on(layers.dense({ units: 4, name: 'c' }), on(layers.globalAveragePooling2d({}), a));
  const d = on(layers.activation({ activation: 'linear', name: 'd' }), c);
  return tfl.model({ inputs: x, outputs: [a, b, d, c], name: 'twice' });
}

const makers: Record<string, () => tfl.LayersModel> = {
  'LeNet-5': () => models.lenet5({ inputShape: [20, 20, 1], seed: 1 }),
  MobileNet: () => models.mobileNet({ inputShape: [14, 14, 1], seed: 1 }),
  'ResNet-20': () =>
    models.resNet20({
      inputShape: [9, 9, 1],
      shortcut: 'projection',
      widthMultiplier: 0.5,
      seed: 1,
    }),
  'residual and concat': branched,
  sequence,
  'outputs that are the same': twice,
};

/** Their names. */
export const NETS: readonly string[] = Object.keys(makers);

/** One of them, the same every time, and four examples for it. */
export function made(name: string): { model: tfl.LayersModel; x: tf.Tensor } {
  const model = filled(withSeed(1, makers[name]!));
  const shape = [4, ...(model.inputs[0]!.shape.slice(1) as number[])];
  const random = new Random(2, 'inputs');
  const size = shape.reduce((n, k) => n * k, 1);
  return {
    model,
    x: tf.tensor(
      Float32Array.from({ length: size }, () => random.uniform()),
      shape,
    ),
  };
}

/** Axes of a tensor with the channels in front. */
export function inFront(x: tf.Tensor): tf.Tensor {
  if (x.rank < 3) return x;
  const axes = x.shape.slice(1).map((_, i) => i + 1);
  return tf.transpose(x, [0, axes.length, ...axes.slice(0, -1)]);
}
