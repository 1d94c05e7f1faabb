// A batch of images with labels to time a step with.
import * as tf from '@tensorflow/tfjs-core';
import { data, Random } from 'thimble';

/** Images [size, 28, 28, 1] and their labels, one-hot. */
export interface Batch {
  x: tf.Tensor;
  y: tf.Tensor;
}

/** Drawn digits, white on black as in MNIST: four pixels in five are 0. The caller disposes of them. */
export async function digits(size: number): Promise<Batch> {
  const { train } = await data.syntheticDigits({ train: size, test: 10, onProgress: false });
  const { images: x, labels: y } = train.batch(Array.from({ length: size }, (_, i) => i));
  return { x, y };
}

/** Noise without a single 0: what a network sees that is not about images. The caller disposes of it. */
export function noise(size: number): Batch {
  const random = new Random('training bench');
  const pixels = Float32Array.from({ length: size * 784 }, () => random.uniform() + 1e-3);
  const labels = Int32Array.from({ length: size }, () => random.integer(10));
  const x = tf.tensor4d(pixels, [size, 28, 28, 1]);
  const y = tf.tidy(() => tf.cast(tf.oneHot(tf.tensor1d(labels, 'int32'), 10), 'float32'));
  return { x, y };
}
