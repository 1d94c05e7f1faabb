// The helpers must be able to fail.
import * as tf from '@tensorflow/tfjs-core';
import { checkGradients, expectNoLeaks, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

describe('toBeAllClose', () => {
  it('compares tensors and nested arrays within a relative tolerance', () => {
    expect(tf.tensor2d([[1, 2000]])).toBeAllClose([[1, 2000.01]]);
    expect([[1], [2]]).toBeAllClose(Float32Array.of(1, 2));
    expect([0]).not.toBeAllClose([2e-5]);
    expect([Number.NaN]).not.toBeAllClose([Number.NaN]);
    expect([1]).not.toBeAllClose([1, 1]);
    expect(tf.ones([2, 1])).not.toBeAllClose(tf.ones([1, 2]));
  });

  it('names the value that differs', () => {
    expect(() => expect([1, 2]).toBeAllClose([1, 3])).toThrow('value 1 of 2: expected 3, got 2');
  });
});

describe('expectNoLeaks', () => {
  it('passes clean work and catches a tensor left behind', async () => {
    await expectNoLeaks(() => tf.tidy(() => void tf.add(1, 2)));
    const kept: tf.Tensor[] = [];
    await expect(expectNoLeaks(() => kept.push(tf.ones([2])))).rejects.toThrow(
      'tensors left behind',
    );
    tf.dispose(kept);
  });

  it('lets work warm up', async () => {
    const cache: tf.Tensor[] = [];
    await expectNoLeaks(() => {
      if (cache.length === 0) cache.push(tf.ones([2]));
    });
    tf.dispose(cache);
  });
});

describe('checkGradients', () => {
  const x = () => tf.variable(tf.tensor([0.3, -0.5, 0.7]));

  it('accepts the gradient of a polynomial', () => {
    const v = x();
    checkGradients(() => tf.sum(tf.mul(v, tf.square(v))), { v });
    expect(v).toBeAllClose([0.3, -0.5, 0.7]);
  });

  it('catches a gradient that is wrong, and one that does not arrive', () => {
    const v = x();
    const wrong = tf.customGrad((t) => ({
      value: tf.square(t as tf.Tensor),
      gradFunc: (dy: tf.Tensor) => dy,
    }));
    expect(() => checkGradients(() => tf.sum(wrong(v)), { v })).toThrow('differences say');
  });
});
