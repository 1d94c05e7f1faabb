// Soft targets: the temperature loss of Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural
// Network" (2015), section 2.
import * as tf from '@tensorflow/tfjs-core';
import { checkOptions, checkRange, OptionError, ShapeError } from '@thimble/base';

/** Options of the temperature loss. */
export interface SoftTargetOptions {
  /** T > 0: divides teacher's and student's logits before the softmax. Default 4. */
  temperature?: number;
  /** Weight of the teacher's part, from 0 (labels alone) to 1 (teacher alone). Default 0.9. */
  alpha?: number;
}

export const SOFT_TARGET_DEFAULTS: Required<SoftTargetOptions> = { temperature: 4, alpha: 0.9 };

/** Fills in the defaults and checks the ranges; `owner` is named in the errors. */
export function resolveSoftTargets(
  owner: string,
  options: SoftTargetOptions,
): Required<SoftTargetOptions> {
  const resolved = { ...SOFT_TARGET_DEFAULTS, ...options };
  if (
    typeof resolved.temperature !== 'number' ||
    !(resolved.temperature > 0) ||
    !Number.isFinite(resolved.temperature)
  ) {
    throw new OptionError(
      `${owner}: temperature must be a number above 0, not ${resolved.temperature}. ` +
        'Use 1 for plain soft targets; 2 to 20 is usual.',
    );
  }
  checkRange(owner, 'alpha', resolved.alpha, 0, 1);
  return resolved;
}

/**
 * `T^2 * KL(p || q)` for each example, with `p = softmax(teacher / T)` and `q = softmax(student / T)`,
 * summed over the classes. Several teachers: `p` is the mean of their softened probabilities.
 *
 * Gradient by student logit j: `T * (q_j - p_j)`. The factor T^2 keeps its size comparable with the
 * cross-entropy's at every temperature.
 *
 * @param student logits, shape [batch, classes]
 * @param teachers logits of the same shape; constants, so no gradient reaches the teacher
 * @param weights of each teacher for each example, shape [batch, 1], that sum to 1; default equal ones
 * @returns shape [batch], at least 0
 */
export function softTargetDivergence(
  student: tf.Tensor,
  teachers: readonly tf.Tensor[],
  temperature: number,
  weights?: readonly tf.Tensor[],
): tf.Tensor1D {
  return tf.tidy(() => {
    const logQ = tf.logSoftmax(tf.div(student, temperature));
    const logPs = teachers.map((teacher) => tf.logSoftmax(tf.div(teacher, temperature)));
    const share = (i: number) => weights?.[i] ?? 1 / teachers.length;
    const p = tf.addN(logPs.map((logP, i) => tf.mul(tf.exp(logP), share(i))));
    // One teacher: its log-probabilities are at hand, exact also where p underflows to 0.
    const logP = logPs.length === 1 ? logPs[0]! : tf.log(tf.maximum(p, 1e-30));
    const divergence = tf.sum(tf.mul(p, tf.sub(logP, logQ)), -1);
    return tf.mul(divergence, temperature * temperature) as tf.Tensor1D;
  });
}

/** A loss over labels, the student's logits and those of one teacher or several. */
export type DistillationLoss = (
  labels: tf.Tensor,
  student: tf.Tensor,
  teacher: tf.Tensor | readonly tf.Tensor[],
) => tf.Scalar;

/**
 * The distillation loss `alpha * T^2 * KL(p_teacher || p_student) + (1 - alpha) * CE(labels, student)`,
 * summed over classes and averaged over the batch.
 *
 * Gradient by student logit j of one example, before the average:
 * `alpha * T * (q_j - p_j) + (1 - alpha) * (softmax(student)_j - label_j)`.
 *
 * @returns a function of one-hot `labels`, `student` logits and `teacher` logits (or a list of them, an
 *   ensemble), all of shape [batch, classes], giving a scalar
 * @throws OptionError for a temperature not above 0 or an alpha outside [0, 1]; ShapeError where the
 *   shapes differ
 * @example
 * const loss = distillationLoss({ temperature: 4, alpha: 0.9 });
 * const value = loss(labels, student.predict(x), teacher.predict(x));
 */
export function distillationLoss(options: SoftTargetOptions = {}): DistillationLoss {
  const owner = 'losses.distillation';
  checkOptions(owner, options, Object.keys(SOFT_TARGET_DEFAULTS));
  const { temperature, alpha } = resolveSoftTargets(owner, options);
  return (labels, student, teacher) => {
    const teachers = teacher instanceof tf.Tensor ? [teacher] : teacher;
    for (const [name, tensor] of [
      ['labels', labels] as const,
      ...teachers.map((t) => ['teacher', t] as const),
    ]) {
      if (!tf.util.arraysEqual(tensor.shape, student.shape)) {
        throw new ShapeError(
          `${owner}: ${name} has shape [${tensor.shape}], the student's logits have [${student.shape}]. ` +
            'All must be [batch, classes]; make labels one-hot.',
        );
      }
    }
    return tf.tidy(() => {
      const soft = tf.mean(softTargetDivergence(student, teachers, temperature));
      const hard = tf.neg(tf.mean(tf.sum(tf.mul(labels, tf.logSoftmax(student)), -1)));
      return tf.add(tf.mul(soft, alpha), tf.mul(hard, 1 - alpha)) as tf.Scalar;
    });
  };
}
