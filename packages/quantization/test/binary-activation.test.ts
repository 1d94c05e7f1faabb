import * as tf from '@tensorflow/tfjs-core';
import { binaryActivation } from '@thimble/quantization';
import { describeLayerContract, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

describeLayerContract('binaryActivation', {
  make: () => binaryActivation({ values: 'zeroOne', gradient: 'approximate' }),
  inputShape: [4],
  gradients: { skip: 'it stands for another function; see below' },
});

/** Forward values, and the gradient for ones coming from above. */
function look(x: number[], ...args: Parameters<typeof binaryActivation>) {
  const layer = binaryActivation(...args);
  const run = (input: tf.Tensor) => layer.apply(input) as tf.Tensor;
  const { value, grad } = tf.valueAndGrad(run)(tf.tensor1d(x), tf.ones([x.length]));
  return { y: Array.from(value.dataSync()), grad };
}

describe('binaryActivation', () => {
  const x = [-2, -1, -0.5, -0.05, 0, 0.05, 0.5, 1, 2];

  it('is the sign, +1 at 0, with the gradient inside [-1, 1], ends included', () => {
    const { y, grad } = look(x);
    expect(y).toEqual([-1, -1, -1, -1, 1, 1, 1, 1, 1]);
    expect(grad).toBeAllClose([0, 1, 1, 1, 1, 1, 1, 1, 0], 0);
  });

  // larq/larq, larq/quantizers_test.py: approx_sign.
  it('has the gradient of approx_sign, if asked, as larq does', () => {
    const { grad } = look(x, { gradient: 'approximate' });
    expect(grad).toBeAllClose([0, 0, 1, 1.9, 2, 1.9, 1, 0, 0], 1e-6);
  });

  // Same source, ste_heaviside: larq makes 0 of 0; here the sign of 0 is +1 everywhere, so it becomes 1.
  it('is the step of larq but for 0', () => {
    const { y, grad } = look(x, { values: 'zeroOne' });
    expect(y).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 1]);
    expect(grad).toBeAllClose([0, 1, 1, 1, 1, 1, 1, 1, 0], 0);
  });

  it('lets NaN through', () => {
    expect(look([Number.NaN, -3]).y).toEqual([Number.NaN, -1]);
  });

  it('refuses what it does not know', () => {
    expect(() => binaryActivation({ values: 'ternary' } as never)).toThrow('values must be');
    expect(() => binaryActivation({ gradient: 'none' } as never)).toThrow('gradient must be');
    expect(() => binaryActivation({ slope: 2 } as never)).toThrow('"slope"');
  });
});
