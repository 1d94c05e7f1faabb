// How what a model answers depends on what it is given.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { ensureBuilt } from './model-weights.ts';
import { forward, lossAndGradients } from './supervised-step.ts';

/**
 * The gradients of a score of a model's outputs by its inputs, in inference mode (dropout off, batch normalisation by
 * its running statistics): for saliency maps, and for attacks. Examples of a batch do not touch each other, so with a
 * score that is a sum over them each gets the gradient of its own term.
 *
 * @param xs one tensor for each input of the model, the batch first; they stay as they are
 * @param score a scalar of the model's outputs
 * @returns tensors of the shapes of `xs`, to be disposed of
 * @example
 * const [gradient] = inputGradients(model, [images], ([scores]) => tf.sum(tf.max(scores, -1)));
 */
export function inputGradients(
  model: LayersModel,
  xs: readonly tf.Tensor[],
  score: (outputs: tf.Tensor[]) => tf.Scalar,
): tf.Tensor[] {
  ensureBuilt('inputGradients', model);
  const inputs = xs.map((x) => tf.variable(x));
  try {
    return tf.tidy(() => {
      const { gradients } = lossAndGradients(() => score(forward(model, inputs, false)), inputs);
      return gradients;
    });
  } finally {
    tf.dispose(inputs);
  }
}
