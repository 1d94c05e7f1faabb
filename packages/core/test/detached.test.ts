import * as tf from '@tensorflow/tfjs-core';
import '@tensorflow/tfjs-layers'; // registers the gradients
import { detached } from '@thimble/core';
import { expectNoLeaks, useCpu } from '@thimble/testing';
import { expect, test } from 'vitest';

useCpu();

test('d(x * const(x^2)) is x^2, not 3 x^2', () => {
  const product = (x: tf.Tensor) => {
    const [square, cube] = detached(() => [tf.square(x), tf.pow(x, 3)]);
    return tf.add(tf.sum(tf.mul(x, square!)), tf.sum(cube!)) as tf.Scalar;
  };
  const { value, grad } = tf.valueAndGrad(product)(tf.tensor1d([2, -3]));
  expect(value).toBeAllClose([2 * (8 - 27)]);
  expect(grad).toBeAllClose([4, 9]);
});

test('leaks nothing, also when it throws', async () => {
  const x = tf.tensor1d([1, 2]);
  await expectNoLeaks(() => {
    tf.tidy(() => {
      tf.grad((y) => tf.sum(tf.mul(y, detached(() => [tf.square(y)])[0]!)))(x);
    });
    expect(() =>
      tf.tidy(() =>
        detached(() => {
          tf.square(x);
          throw new Error('no');
        }),
      ),
    ).toThrow('no');
  });
});
