// What a loss takes for given.
import * as tf from '@tensorflow/tfjs-core';

/**
 * Runs `compute` so that no gradient passes through what it gives: the results are constants to the loss
 * around it, also where weights that are trained took part. For teachers, targets and running means.
 *
 * @returns float tensors like those of `compute`; they belong to the scope of the caller.
 * @example
 * const [target] = detached(() => [tf.softmax(w)]);
 */
export function detached(compute: () => tf.Tensor[]): tf.Tensor[] {
  let shapes: number[][] = [];
  // What runs inside of a custom gradient's own function is not recorded; one tensor can come out of it.
  const unrecorded = tf.customGrad(() => {
    const results = compute();
    shapes = results.map(({ shape }) => shape);
    const flat = results.map((result) => tf.reshape(result, [-1]));
    const value = flat.length === 1 ? flat[0]! : tf.concat(flat);
    return { value, gradFunc: () => tf.scalar(0) };
  });
  return tf.tidy(() => {
    const flat = unrecorded(tf.scalar(0));
    const parts = tf.split(
      flat,
      shapes.map((shape) => tf.util.sizeFromShape(shape)),
    );
    return parts.map((part, i) => tf.reshape(part, shapes[i]!));
  });
}
