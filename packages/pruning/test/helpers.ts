// Small models that several tests share.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  type ParametrizedWeight,
  parametrize,
  parametrizedWeights,
  type WeightTransform,
  walkLayers,
} from '@thimble/core';

/** A dense layer without bias whose kernel has these values and is seen through these transforms. */
export function chainedDense(
  values: number[][],
  chain: WeightTransform[],
): { model: tfl.Sequential; weight: ParametrizedWeight } {
  const layer = tfl.layers.dense({
    units: values[0]!.length,
    weights: [tf.tensor2d(values)],
    useBias: false,
    inputShape: [values.length],
  });
  const model = tfl.sequential({ layers: [parametrize(layer, { kernel: chain })] });
  return { model, weight: parametrizedWeights(model)[0]! };
}

/** What the layers add to the loss. */
export function penaltiesOf(model: tfl.LayersModel): tf.Scalar {
  const layers = walkLayers(model).filter((layer) => !('layers' in layer)); // no nested models
  const losses = layers.flatMap((layer) => layer.calculateLosses() as tf.Scalar[]);
  return losses.reduce((sum, loss) => tf.add(sum, loss), tf.scalar(0));
}

/** {@link penaltiesOf} as a number. */
export function penaltyOf(model: tfl.LayersModel): number {
  return tf.tidy(() => penaltiesOf(model).dataSync()[0]!);
}
