// A made-up batch of images with labels: the time of a step does not depend on what is in it.
import * as tf from '@tensorflow/tfjs-core';
import { Random } from 'thimble';

/** Images [size, 28, 28, 1] and their labels, one-hot. The caller disposes of them. */
export function batch(size: number): { x: tf.Tensor; y: tf.Tensor } {
  const random = new Random('training bench');
  const pixels = Float32Array.from({ length: size * 784 }, () => random.uniform());
  const labels = Int32Array.from({ length: size }, () => random.integer(10));
  const x = tf.tensor4d(pixels, [size, 28, 28, 1]);
  const y = tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d(labels, 'int32'), 10), 'float32'));
  return { x, y };
}
