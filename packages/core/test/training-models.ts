// Small models and data that the tests of the training loop share.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { Random, withSeed } from '@thimble/base';

/** Starts the cpu backend without its greeting. (IS_TEST must not stay: wasm's kernels fail its checks.) */
export async function useCpu(): Promise<void> {
  tf.env().set('IS_TEST', true);
  await tf.setBackend('cpu');
  tf.scalar(0).dispose();
  tf.env().set('IS_TEST', false);
}

/** Two classes, by the sign of the first of two coordinates; one-hot labels. */
export function points(n: number, seed = 1): { xs: Float32Array; ys: Float32Array } {
  const random = new Random('points', seed);
  const xs = Float32Array.from({ length: 2 * n }, () => random.uniform(-1, 1));
  const ys = Float32Array.from({ length: 2 * n }, (_, i) =>
    xs[i - (i % 2)]! > 0 === (i % 2 === 1) ? 1 : 0,
  );
  return { xs, ys };
}

/** A classifier of such points, with further layers before the last one. */
export function classifier(...between: tfl.layers.Layer[]): tfl.LayersModel {
  return withSeed(3, () =>
    tfl.sequential({
      layers: [
        tfl.layers.dense({ units: 8, activation: 'relu', inputShape: [2] }),
        ...between,
        tfl.layers.dense({ units: 2, activation: 'softmax' }),
      ],
    }),
  );
}

/** One weight w of 1 and no bias: the output is w x. */
export function line(
  w = 1,
  args: Partial<Parameters<typeof tfl.layers.dense>[0]> = {},
): tfl.LayersModel {
  return tfl.sequential({
    layers: [
      tfl.layers.dense({
        units: 1,
        useBias: false,
        kernelInitializer: tfl.initializers.constant({ value: w }),
        inputShape: [1],
        ...args,
      }),
    ],
  });
}

/** All weights of a model as numbers. */
export function weightsOf(model: tfl.LayersModel): number[][] {
  return model.getWeights().map((weight) => Array.from(weight.dataSync()));
}
