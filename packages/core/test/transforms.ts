// Transforms for tests.
import * as tf from '@tensorflow/tfjs-core';
import { registerTransform, type WeightTransform } from '@thimble/core';

/** w' = factor * w. */
export function scaled(factor: number): WeightTransform {
  return {
    getClassName: () => 'ThimbleTestScaled',
    getConfig: () => ({ factor }),
    build: () => null,
    apply: (weight) => tf.mul(weight, factor),
    bake: (weight) => tf.mul(weight, factor),
    encoding: () => ({}),
  };
}
registerTransform('ThimbleTestScaled', (config) => scaled(config.factor as number));

/**
 * w' = w + offset with a trainable offset, whose square is a penalty; after a step the stored weight is
 * clipped to [-1, 1].
 */
export function shifted(): WeightTransform<tf.Variable> {
  return {
    getClassName: () => 'ThimbleTestShifted',
    getConfig: () => ({}),
    build: (site) => site.addWeight('offset', [1], 0.5, true),
    apply: (weight, offset) => tf.add(weight, offset),
    penalty: (_weight, offset) => tf.sum(tf.square(offset)),
    update: (_before, after) => tf.clipByValue(after, -1, 1),
    bake: (weight, offset) => tf.add(weight, offset),
    encoding: () => ({}),
  };
}
registerTransform('ThimbleTestShifted', shifted);

/** The stored weight replaced by one trainable value everywhere. */
export function constant(): WeightTransform<{ value: tf.Variable; shape: number[] }> {
  return {
    getClassName: () => 'ThimbleTestConstant',
    getConfig: () => ({}),
    build: ({ addWeight, shape }) => ({ value: addWeight('value', [1], 3, true), shape }),
    source: ({ value, shape }) => tf.mul(tf.ones(shape), value),
    apply: (weight) => weight,
    bake: (weight) => weight,
    encoding: () => ({}),
  };
}
registerTransform('ThimbleTestConstant', constant);

/** w' = w + noise in training; hands every draw to `seen`. */
export function noisy(seen: number[][] = []): WeightTransform<{ key: string }> {
  return {
    stochastic: true,
    getClassName: () => 'ThimbleTestNoisy',
    getConfig: () => ({}),
    build: ({ key }) => ({ key }),
    apply(weight, { key }, context) {
      if (!context.training) return weight;
      const noise = context.random(key, weight.shape);
      seen.push(Array.from(noise.dataSync()));
      return tf.add(weight, noise);
    },
    bake: (weight) => weight,
    encoding: () => ({}),
  };
}
registerTransform('ThimbleTestNoisy', () => noisy());
