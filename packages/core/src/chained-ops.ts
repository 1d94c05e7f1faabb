// TensorFlow.js's recurrent layers, the orthogonal initializer and two gradients call methods of Tensor
// (`x.transpose()`) that exist only where the `@tensorflow/tfjs` union package was imported. This adds
// those few where they are missing, so that tfjs-core is enough.
import * as tf from '@tensorflow/tfjs-core';

type Method = (this: tf.Tensor, ...args: never[]) => tf.Tensor | tf.Tensor[];

const methods: Record<string, Method> = {
  flatten(): tf.Tensor {
    return tf.reshape(this, [this.size]);
  },
  reshape(shape: number[]): tf.Tensor {
    return tf.reshape(this, shape);
  },
  transpose(permutation?: number[]): tf.Tensor {
    return tf.transpose(this, permutation);
  },
  stridedSlice(begin: number[], end: number[], strides?: number[]): tf.Tensor {
    return tf.stridedSlice(this, begin, end, strides);
  },
  sign(): tf.Tensor {
    return tf.sign(this);
  },
  slice(begin: number | number[], size?: number | number[]): tf.Tensor {
    return tf.slice(this, begin, size);
  },
  split(parts: number | number[], axis?: number): tf.Tensor[] {
    return tf.split(this, parts, axis);
  },
};

const prototype = tf.Tensor.prototype as unknown as Record<string, Method | undefined>;
for (const [name, method] of Object.entries(methods)) prototype[name] ??= method;
