// Similarity-preserving distillation: examples that look alike to the teacher shall look alike to the student.
import * as tf from '@tensorflow/tfjs-core';
import { FeatureCallback, type FeatureOptions } from './features.ts';

/** Tung and Mori's gamma. */
const WEIGHT = 3000;

/**
 * The similarity loss of a pair of layers: `||G(student) - G(teacher)||^2 / b^2`, summed over all b x b entries.
 * `G(F)` is `F F^T`, the products of the examples of the batch, each row divided by its length. The features may
 * have any shapes, as they are compared by example alone. Backward: that of these formulas.
 *
 * @param student shape [b, ...]
 * @param teacher shape [b, ...], not necessarily the student's
 * @example
 * const value = similarityLoss(tf.eye(3), tf.zeros([3, 5])); // 3 / 9
 */
export function similarityLoss(student: tf.Tensor, teacher: tf.Tensor): tf.Scalar {
  return tf.tidy(() => tf.mean(tf.squaredDifference(similarities(student), similarities(teacher))));
}

/**
 * A callback for `fit` that adds `weight * sum over the pairs of similarityLoss` to the loss. Layers of any shapes
 * go together. Default weight 3000, as the mean over pairs of examples is small.
 *
 * Paper: Tung and Mori, "Similarity-Preserving Knowledge Distillation", 2019, section 3.
 *
 * @throws {NoMatchError} for an unknown layer; {UnsupportedError} in tfjs's own fit.
 * @example
 * const alike = similarityPreserving({ teacher, pairs: [['hidden', 'hidden']] });
 * await fit(student, train, { callbacks: [alike] });
 */
export function similarityPreserving(options: FeatureOptions): FeatureCallback {
  const technique = { owner: 'similarityPreserving', weight: WEIGHT, loss: similarityLoss };
  return new FeatureCallback(technique, options);
}

function similarities(features: tf.Tensor): tf.Tensor {
  const rows = tf.reshape(features, [features.shape[0]!, -1]);
  const products = tf.matMul(rows, rows, false, true);
  const squares = tf.sum(tf.square(products), -1, true);
  return tf.mul(products, tf.rsqrt(tf.maximum(squares, 1e-24)));
}
