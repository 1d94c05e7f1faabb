// Ops that a backend may have a kernel of its own for.
import * as tf from '@tensorflow/tfjs-core';

/**
 * Runs the kernel that the active backend has under `kernelName`; composes the result of stock ops where
 * it has none, so that a layer runs on every backend. Unless the backend registers a gradient for the kernel, call it
 * within `tf.customGrad` or outside of training.
 *
 * @param compose the same result, or results, in stock ops; run in a tidy
 * @example
 * const doubled = namedOp('MyDouble', { x }, {}, () => tf.mul(x, 2));
 */
export function namedOp<T extends tf.Tensor | tf.Tensor[] = tf.Tensor>(
  kernelName: string,
  inputs: Record<string, tf.Tensor>,
  attrs: Record<string, number | boolean | string | number[]>,
  compose: () => T,
): T {
  if (!tf.getKernel(kernelName, tf.getBackend())) return tf.tidy(compose);
  return tf.engine().runKernel(kernelName, inputs, attrs) as T;
}
