// Attention transfer: where a layer looks, learned from where the teacher's looks.
import * as tf from '@tensorflow/tfjs-core';
import { checkMaps, FeatureCallback, type FeatureOptions, type Shape } from './features.ts';

const OWNER = 'attentionTransfer';

/** Zagoruyko and Komodakis's beta. */
const WEIGHT = 1000;

/**
 * The attention loss of a pair of layers: `mean (Q(student) - Q(teacher))^2` over examples and positions, with
 * `Q(A) = v / ||v||` and v the mean over the channels of `A^2`, flattened for each example. The channels may
 * differ in number. Backward: that of these formulas; where v is 0 everywhere, Q and its gradient are 0.
 *
 * @param student shape [batch, height, width, channels]
 * @param teacher shape [batch, height, width, channels of its own]
 * @example
 * const value = attentionLoss(tf.ones([2, 4, 4, 3]), tf.ones([2, 4, 4, 8])); // 0
 */
export function attentionLoss(student: tf.Tensor, teacher: tf.Tensor): tf.Scalar {
  checkMaps(OWNER, student.shape.slice(1), teacher.shape.slice(1), shown(student, teacher));
  return tf.tidy(() => tf.mean(tf.squaredDifference(attention(student), attention(teacher))));
}

/**
 * A callback for `fit` that adds `weight * sum over the pairs of attentionLoss` to the loss. Only convolutional
 * layers have attention maps, and both of a pair need the same height and width. Default weight 1000, as the
 * mean over positions is small.
 *
 * Paper: Zagoruyko and Komodakis, "Paying More Attention to Attention", 2017, section 3.1.
 *
 * @throws {ShapeError} for layers whose height or width differ; {NoMatchError} for an unknown layer;
 *   {UnsupportedError} in tfjs's own fit.
 * @example
 * const maps = attentionTransfer({ teacher: convTeacher, pairs: [['conv', 'conv']] });
 * await fit(convStudent, train, { callbacks: [maps] });
 */
export function attentionTransfer(options: FeatureOptions): FeatureCallback {
  const technique = {
    owner: OWNER,
    weight: WEIGHT,
    checkShapes: (student: Shape, teacher: Shape, names: string) =>
      checkMaps(OWNER, student, teacher, names),
    loss: attentionLoss,
  };
  return new FeatureCallback(technique, options);
}

function attention(maps: tf.Tensor): tf.Tensor {
  const [batch] = maps.shape;
  const flat = tf.reshape(tf.mean(tf.square(maps), -1), [batch!, -1]);
  const squares = tf.sum(tf.square(flat), -1, true);
  return tf.mul(flat, tf.rsqrt(tf.maximum(squares, 1e-24)));
}

function shown(student: tf.Tensor, teacher: tf.Tensor): string {
  return `the student's features [${student.shape.slice(1)}], the teacher's [${teacher.shape.slice(1)}]`;
}
