// The straight-through estimator: a function that is rounded forward and looks like the identity backward.
import * as tf from '@tensorflow/tfjs-core';

/** f(x), with the gradient of the identity. */
export function straightThrough(x: tf.Tensor, f: (x: tf.Tensor) => tf.Tensor): tf.Tensor {
  const op = tf.customGrad((...args) => ({
    value: f(args[0] as tf.Tensor),
    gradFunc: (dy: tf.Tensor) => tf.clone(dy),
  }));
  return op(x);
}
