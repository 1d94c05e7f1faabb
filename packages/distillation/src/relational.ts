// Relational distillation: the distances and angles between the examples of a batch.
import * as tf from '@tensorflow/tfjs-core';
import { checkRange, OptionError } from '@thimble/base';
import { detached } from '@thimble/core';
import { FEATURE_OPTIONS, FeatureCallback, type FeatureOptions } from './features.ts';

const OWNER = 'relationalDistillation';

/** Below this a squared distance counts as this, so that its root has a gradient. */
const SMALLEST_SQUARE = 1e-12;

/** How much distances and angles count. */
export interface RelationWeights {
  /** Weight of the distances, at least 0. Default 25. */
  distance?: number;
  /** Weight of the angles, at least 0; takes memory for b x b x features numbers. Default 50. */
  angle?: number;
}

/** Options of {@link relationalDistillation}. */
export interface RelationalOptions extends FeatureOptions, RelationWeights {}

/**
 * The relational loss of a pair of layers, `distance * D + angle * A`.
 *
 * - D: mean over all pairs (i, j) of `huber(d_ij(student) - d_ij(teacher))`, with d_ij the Euclidean distance of
 *   the examples i and j divided by the mean of all distances above 0.
 * - A: mean over all (i, j, k) of `huber(cos(student) - cos(teacher))`, with the cosine of the angle at example i
 *   between the directions to j and k; 0 where two of the examples coincide.
 * - `huber(x)` is `x^2 / 2` for |x| < 1 and `|x| - 1/2` beyond.
 *
 * The features may have any shapes. Backward: that of these formulas, with squared distances bounded below by
 * 1e-12 before the root.
 *
 * @param student shape [b, ...]
 * @param teacher shape [b, ...], not necessarily the student's
 * @example
 * const value = relationalLoss(tf.eye(3), tf.mul(tf.eye(3), 5)); // 0: the same shape at another size
 */
export function relationalLoss(
  student: tf.Tensor,
  teacher: tf.Tensor,
  weights: RelationWeights = {},
): tf.Scalar {
  const { distance = 25, angle = 50 } = weights;
  return tf.tidy(() => {
    const [ours, theirs] = [student, teacher].map((features) => relations(features, angle > 0));
    const apart = tf.mul(distance, huber(ours!.distances, theirs!.distances));
    if (angle === 0) return apart as tf.Scalar;
    return tf.add(apart, tf.mul(angle, huber(ours!.cosines!, theirs!.cosines!)));
  });
}

/**
 * A callback for `fit` that adds `weight * sum over the pairs of relationalLoss` to the loss. Layers of any shapes
 * go together. Default weight 1, with 25 for the distances and 50 for the angles.
 *
 * Paper: Park, Kim, Lu and Cho, "Relational Knowledge Distillation", 2019, section 3.2.
 *
 * @throws {NoMatchError} for an unknown layer; {OptionError} where both weights are 0; {UnsupportedError} in
 *   tfjs's own fit.
 * @example
 * const relations = relationalDistillation({ teacher, pairs: [['hidden', 'hidden']] });
 * await fit(student, train, { callbacks: [relations] });
 */
export function relationalDistillation(options: RelationalOptions): FeatureCallback {
  const { distance = 25, angle = 50 } = options;
  checkRange(OWNER, 'distance', distance, 0);
  checkRange(OWNER, 'angle', angle, 0);
  if (distance === 0 && angle === 0) {
    throw new OptionError(`${OWNER}: distance and angle are both 0. Give one of them a weight.`);
  }
  const technique = {
    owner: OWNER,
    weight: 1,
    loss: (student: tf.Tensor, teacher: tf.Tensor) =>
      relationalLoss(student, teacher, { distance, angle }),
  };
  return new FeatureCallback(technique, options, [...FEATURE_OPTIONS, 'distance', 'angle']);
}

/** Distances of all pairs divided by their mean, and cosines of the angles of all triples. */
function relations(features: tf.Tensor, angles: boolean) {
  const rows = tf.reshape(features, [features.shape[0]!, -1]);
  const differences = tf.sub(tf.expandDims(rows, 0), tf.expandDims(rows, 1));
  const squares = tf.sum(tf.square(differences), -1);
  const [apart] = detached(() => [tf.cast(tf.greater(squares, SMALLEST_SQUARE), 'float32')]);
  const distances = tf.mul(apart!, tf.sqrt(tf.maximum(squares, SMALLEST_SQUARE)));
  const mean = tf.div(tf.sum(distances), tf.maximum(tf.sum(apart!), 1));
  // All examples equal: all distances are 0, and stay so.
  const scaled = tf.div(distances, tf.maximum(mean, 1e-6));
  if (!angles) return { distances: scaled };
  const lengths = tf.sqrt(tf.maximum(squares, SMALLEST_SQUARE));
  // Where two examples coincide there is no direction, and no gradient.
  const directions = tf.mul(differences, tf.expandDims(tf.div(apart!, lengths), -1));
  return { distances: scaled, cosines: tf.matMul(directions, directions, false, true) };
}

/** The mean of the Huber loss with its bend at 1. */
function huber(x: tf.Tensor, y: tf.Tensor): tf.Tensor {
  const size = tf.abs(tf.sub(x, y));
  // m (size - m / 2) with m = min(size, 1): a parabola up to 1, a line beyond.
  const bent = tf.minimum(size, 1);
  return tf.mean(tf.mul(bent, tf.sub(size, tf.div(bent, 2))));
}
