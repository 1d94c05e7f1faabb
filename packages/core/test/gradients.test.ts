import '@tensorflow/tfjs-layers';
import '@tensorflow/tfjs-backend-cpu';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, it } from 'vitest';
import { clipByNorm, clipByValue, GradientMean } from '../src/gradients.ts';
import { useCpu } from './training-models.ts';

beforeAll(useCpu);

const numbers = (tensors: tf.Tensor[]) => tensors.map((tensor) => Array.from(tensor.dataSync()));

it('clipByNorm scales all gradients by one factor', () => {
  // The common norm of (3, 4) and (12) is sqrt(9 + 16 + 144) = 13; the factor is 6.5 / 13 = 1/2.
  const gradients = [tf.tensor1d([3, -4]), tf.tensor2d([[12]])];
  expect(numbers(clipByNorm(gradients, 6.5))).toEqual([[1.5, -2], [6]]);
  expect(numbers(clipByNorm(gradients, 13))).toEqual([[3, -4], [12]]);
  expect(numbers(clipByNorm(gradients, 99))).toEqual([[3, -4], [12]]);
  expect(numbers(clipByNorm([tf.zeros([2])], 1))).toEqual([[0, 0]]);
});

it('clipByValue cuts every entry', () => {
  expect(numbers(clipByValue([tf.tensor1d([3, -4, 0.5])], 1))).toEqual([[1, -1, 0.5]]);
});

it('GradientMean weights by examples and leaves nothing behind', () => {
  const before = tf.memory().numTensors;
  const mean = new GradientMean();
  mean.add([tf.tensor1d([1, 2])], 3);
  mean.add([tf.tensor1d([5, 10])], 1);
  const means = mean.mean();
  expect(numbers(means)).toEqual([[2, 4]]);
  tf.dispose(means);
  expect(tf.memory().numTensors).toBe(before);
});
