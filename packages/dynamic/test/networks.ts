// Small networks and data for the tests of this package.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { Random, withSeed } from '@thimble/base';

const { add, dense } = tfl.layers;

/** 6 inputs, a residual connection across the place of an exit, 3 classes; layers a, b, sum, c, d, output. */
export function residual(
  activation: 'softmax' | 'linear' = 'softmax',
  more: tfl.layers.Layer[] = [],
): tfl.LayersModel {
  return withSeed(4, () => {
    const x = tfl.input({ shape: [6] });
    const apply = (layer: tfl.layers.Layer, value: tfl.SymbolicTensor) =>
      layer.apply(value) as tfl.SymbolicTensor;
    const a = apply(dense({ name: 'a', units: 5, activation: 'tanh' }), x);
    const b = apply(dense({ name: 'b', units: 5, activation: 'tanh' }), a);
    const sum = add({ name: 'sum' }).apply([a, b]) as tfl.SymbolicTensor;
    const c = apply(
      dense({ name: 'c', units: 4, activation: 'relu' }),
      more.reduce((v, l) => apply(l, v), sum),
    );
    const d = apply(dense({ name: 'd', units: 4, activation: 'tanh' }), c);
    const output = apply(dense({ name: 'output', units: 3, activation }), d);
    return tfl.model({ inputs: x, outputs: output });
  });
}

/** Examples of three classes that a small network can tell apart. */
export function examples(size: number, seed = 1): { xs: tf.Tensor2D; ys: tf.Tensor2D } {
  const random = new Random('examples', seed);
  const xs = new Float32Array(size * 6);
  const labels = Int32Array.from({ length: size }, (_, i) => i % 3);
  for (let i = 0; i < xs.length; i++) {
    const label = labels[Math.floor(i / 6)]!;
    xs[i] = random.normal() + (i % 3 === label ? 1.2 : 0);
  }
  const ys = tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d(labels, 'int32'), 3), 'float32'));
  return { xs: tf.tensor2d(xs, [size, 6]), ys: ys as tf.Tensor2D };
}

/** How many rows go through each layer while `body` runs. */
export async function rowsThrough(
  layers: readonly tfl.layers.Layer[],
  body: () => Promise<unknown> | unknown,
): Promise<Record<string, number>> {
  const rows: Record<string, number> = {};
  for (const layer of layers) {
    const { call } = layer;
    rows[layer.name] = 0;
    layer.call = (inputs, kwargs) => {
      rows[layer.name]! += [inputs].flat()[0]!.shape[0]!;
      return call.call(layer, inputs, kwargs);
    };
  }
  try {
    await body();
  } finally {
    for (const layer of layers) Reflect.deleteProperty(layer, 'call');
  }
  return rows;
}
