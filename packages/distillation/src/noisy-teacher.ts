// Noisy teachers: logits that waver stand for many teachers.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkOptions, checkRange, type Random, UnsupportedError } from '@thimble/base';
import { type StepContext, ThimbleCallback } from '@thimble/core';
import { checkPair, givesProbabilities, teacherLogits, toLogits } from './teacher.ts';

const OWNER = 'noisyTeacher';

/** Options of {@link noisyTeacher}. */
export interface NoisyTeacherOptions {
  /** A trained model. It is not changed. */
  teacher: LayersModel;
  /** Standard deviation of the relative noise, at least 0; default 0.5. With 0: plain regression on logits. */
  deviation?: number;
  /** Chance of an example to get noise, from 0 to 1; default 0.5. */
  fraction?: number;
  /** Weight of the teacher's part, from 0 (labels alone) to 1 (teacher alone); default 1, as in the paper. */
  alpha?: number;
}

/** The callback that {@link noisyTeacher} makes. */
export class NoisyTeacher extends ThimbleCallback {
  readonly #teacher: LayersModel;
  readonly #noise: { deviation: number; fraction: number };
  readonly #alpha: number;

  constructor(options: NoisyTeacherOptions) {
    super();
    checkOptions(OWNER, options, ['teacher', 'deviation', 'fraction', 'alpha']);
    const { teacher, deviation = 0.5, fraction = 0.5, alpha = 1 } = options;
    checkRange(OWNER, 'deviation', deviation, 0);
    checkRange(OWNER, 'fraction', fraction, 0, 1);
    checkRange(OWNER, 'alpha', alpha, 0, 1);
    this.#teacher = teacher;
    this.#noise = { deviation, fraction };
    this.#alpha = alpha;
  }

  override setModel(model: LayersModel): void {
    super.setModel(model);
    if (!this.insideFit) {
      throw new UnsupportedError(
        `${OWNER}: tfjs's own fit has no place for a callback in the loss. Use Thimble's fit.`,
      );
    }
    checkPair([this.#teacher], model);
  }

  override loss(loss: tf.Scalar, outputs: tf.Tensor[], context: StepContext): tf.Scalar {
    const output = outputs[0]!;
    const { deviation, fraction } = this.#noise;
    const [logits] = teacherLogits([this.#teacher], context.batch.xs);
    const classes = output.shape[1]!;
    perturbLogits(logits!, classes, { deviation, fraction }, context.random(OWNER));
    const probabilities = givesProbabilities(context.model);
    const target = tf.tensor2d(logits!, output.shape as [number, number]);
    // Out of a softmax come logits whose exponentials sum to 1; the target must be of that kind.
    const attainable = probabilities ? tf.logSoftmax(target) : target;
    const soft = logitLoss(toLogits(output, probabilities), attainable);
    return tf.add(tf.mul(soft, this.#alpha), tf.mul(loss, 1 - this.#alpha));
  }
}

/**
 * The regression loss on logits: `1/2 ||student - teacher||^2`, summed over the classes and averaged over the
 * batch. Backward: `(student - teacher) / batch`.
 *
 * Paper: Ba and Caruana, "Do Deep Nets Really Need to be Deep?", 2014, equation 1.
 *
 * @param student logits, shape [batch, classes]
 * @param teacher logits, shape [batch, classes]
 * @example
 * const value = logitLoss(tf.tensor2d([[1, 2]]), tf.tensor2d([[1, 4]])); // 2
 */
export function logitLoss(student: tf.Tensor, teacher: tf.Tensor): tf.Scalar {
  return tf.tidy(() => tf.div(tf.mean(tf.sum(tf.squaredDifference(student, teacher), -1)), 2));
}

/**
 * Multiplies the logits of some examples, in place, by `1 + xi` with xi drawn anew for every logit from a normal
 * distribution with mean 0. Each example has its noise with the chance `fraction`, on its own.
 *
 * @param logits of one example after the other
 * @example
 * perturbLogits(new Float32Array(20).fill(1), 10, { deviation: 0.5, fraction: 0.5 }, random);
 */
export function perturbLogits(
  logits: Float32Array,
  classes: number,
  { deviation, fraction }: { deviation: number; fraction: number },
  random: Random,
): void {
  for (let start = 0; start < logits.length; start += classes) {
    if (random.uniform() >= fraction) continue;
    for (let i = start; i < start + classes; i++) logits[i]! *= 1 + deviation * random.normal();
  }
}

/**
 * A callback for `fit` that makes the student regress on the teacher's logits with noise on them:
 * `alpha * logitLoss(student, teacher') + (1 - alpha) * (the loss so far)`, see {@link logitLoss} and
 * {@link perturbLogits}. The noise is drawn for each example and step; a resumed run draws the same.
 *
 * A model that ends in a softmax has the logarithm of its probabilities for logits.
 *
 * Paper: Sau and Balasubramanian, "Deep Model Compression: Distilling Knowledge from Noisy Teachers", 2016.
 *
 * @throws {ShapeError} where teacher and student differ in inputs or classes; {UnsupportedError} in tfjs's own fit.
 * @example
 * await fit(student, train, { callbacks: [noisyTeacher({ teacher, deviation: 0.3 })] });
 */
export function noisyTeacher(options: NoisyTeacherOptions): NoisyTeacher {
  return new NoisyTeacher(options);
}
