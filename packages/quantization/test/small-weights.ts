// What tests of transforms to few values share.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  type ParametrizedWeight,
  parametrize,
  parametrizedWeights,
  releaseMoment,
  setMoment,
  type WeightTransform,
} from '@thimble/core';

/** A kernel [in, out] seen through transforms, without a bias. */
export function dense(kernel: number[][], ...transforms: WeightTransform[]) {
  const layer = tfl.layers.dense({
    units: kernel[0]!.length,
    useBias: false,
    weights: [tf.tensor2d(kernel)],
    inputShape: [kernel.length],
  });
  parametrize(layer, { kernel: transforms });
  const model = tfl.sequential({ layers: [layer] });
  return { model, layer, weight: parametrizedWeights(model)[0] as ParametrizedWeight };
}

/** For every entry of a shape, its index along an axis. */
export function indexAlong(shape: number[], axis: number): number[] {
  const after = shape.slice(axis + 1).reduce((product, n) => product * n, 1);
  const size = shape.reduce((product, n) => product * n, 1);
  return Array.from({ length: size }, (_, i) => Math.floor(i / after) % shape[axis]!);
}

/** A link that masks by multiplying, as pruning does. */
export function masking(mask: number[]): WeightTransform {
  const masked = (weight: tf.Tensor) => tf.mul(weight, tf.reshape(tf.tensor1d(mask), weight.shape));
  return {
    getClassName: () => 'ThimbleTestMasking',
    getConfig: () => ({}),
    build: () => null,
    apply: masked,
    bake: masked,
    encoding: () => ({ mask: Uint8Array.from(mask) }),
  };
}

/** What the layer computes with in a training pass: the kernel as rows one after the other. */
export function seenInTraining(layer: tfl.layers.Layer, inputs: number): number[] {
  return tf.tidy(() => {
    const y = layer.apply(tf.eye(inputs), { training: true }) as tf.Tensor;
    return Array.from(y.dataSync());
  });
}

/** The gradient of sum(kernel as seen * upstream) with respect to the stored kernel and what links brought. */
export function gradients(
  layer: tfl.layers.Layer,
  { variables }: ParametrizedWeight,
  upstream: number[][],
): number[][] {
  const loss = () => {
    const y = layer.apply(tf.eye(upstream.length), { training: true }) as tf.Tensor;
    return tf.sum(tf.mul(y, tf.tensor2d(upstream))) as tf.Scalar;
  };
  const trained = variables.filter(({ trainable }) => trainable);
  // As in `fit`, where a pass leaves the stored weights alone.
  setMoment({ step: 0, seed: 0, learningRate: 1 });
  const { grads } = tf.variableGrads(loss, [...trained]);
  releaseMoment();
  return trained.map(({ name }) => Array.from(grads[name]!.dataSync()));
}
