// Several teachers, each believed the more the better it knows the example at hand.
import * as tf from '@tensorflow/tfjs-core';
import { ShapeError } from '@thimble/base';

/**
 * How much each of K teachers counts for each example: `w_k = (1 - e_k) / (K - 1)` with e the softmax over the
 * teachers of their cross-entropies on the label. The weights of an example sum to 1; a single teacher has 1.
 * No gradient passes.
 *
 * Paper: Zhang, Chen and Wang, "Confidence-Aware Multi-Teacher Knowledge Distillation", 2022, equation 2.
 *
 * @param teachers logits of each teacher, shape [batch, classes]
 * @param labels one-hot, shape [batch, classes]
 * @returns for each teacher shape [batch, 1]
 * @throws ShapeError for labels of another shape
 * @example
 * const logits = [tf.tensor2d([[4, 0]]), tf.tensor2d([[0, 0]])];
 * const [sure, unsure] = confidenceWeights(logits, tf.tensor2d([[1, 0]]));
 */
export function confidenceWeights(teachers: readonly tf.Tensor[], labels: tf.Tensor): tf.Tensor[] {
  const { shape } = teachers[0]!;
  if (!tf.util.arraysEqual(labels.shape, shape)) {
    throw new ShapeError(
      `confidenceWeights: labels have shape [${labels.shape}], the teachers' logits [${shape}]. ` +
        "Make labels one-hot, or use weighting 'equal'.",
    );
  }
  return tf.tidy(() => {
    if (teachers.length === 1) return [tf.ones([shape[0]!, 1])];
    const losses = teachers.map((logits) =>
      tf.neg(tf.sum(tf.mul(labels, tf.logSoftmax(logits)), -1, true)),
    );
    const shares = tf.softmax(tf.concat(losses, 1));
    return tf.split(tf.div(tf.sub(1, shares), teachers.length - 1), teachers.length, 1);
  });
}
