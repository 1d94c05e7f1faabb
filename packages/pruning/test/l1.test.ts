import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { OptionError } from '@thimble/base';
import { fit, parametrize } from '@thimble/core';
import { l1Penalty, mask } from '@thimble/pruning';
import { checkGradients, describeTransformContract, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { chainedDense, penaltiesOf, penaltyOf } from './helpers.ts';

useCpu();

describeTransformContract('l1Penalty', {
  make: () => l1Penalty({ strength: 0.1 }),
  gradient: (_stored, upstream) => upstream,
});

describe('l1Penalty', () => {
  it('adds strength * sum |w| to the loss, and sees what a mask leaves', () => {
    const values = [[1, -2, 0, 0.5]];
    const { model } = chainedDense(values, [l1Penalty({ strength: 0.25 })]);
    expect(penaltyOf(model)).toBeCloseTo(0.25 * 3.5, 6);
    const masked = chainedDense(values, [mask({ sparsity: 0.5 }), l1Penalty({ strength: 0.25 })]);
    expect(penaltyOf(masked.model)).toBeCloseTo(0.25 * 3, 6);
  });

  it('has the gradient strength * sign(w), 0 at 0', () => {
    const { model, weight } = chainedDense([[1, -2, 0, 0.5]], [l1Penalty({ strength: 0.25 })]);
    const { grads } = tf.variableGrads(() => penaltiesOf(model), [weight.variable]);
    expect(grads[weight.variable.name]!).toBeAllClose([[0.25, -0.25, 0, 0.25]], 0);
  });

  it('agrees with finite differences away from 0', () => {
    const { model, weight } = chainedDense([[1, -2, 0.3, 0.5]], [l1Penalty({ strength: 2 })]);
    checkGradients(() => penaltiesOf(model), { kernel: weight.variable });
  });

  it('takes a constant step towards zero', async () => {
    const { model, weight } = chainedDense([[1, -2, 0.5]], [l1Penalty({ strength: 0.5 })]);
    // Inputs of 0: the loss has no gradient of its own.
    const data = { xs: new Float32Array(4), ys: new Float32Array(12) };
    const options = { loss: 'meanSquaredError', optimizer: 'sgd', progress: false } as const;
    const { logs } = await fit(model, data, { ...options, epochs: 2, learningRate: 0.25 });
    expect(weight.variable).toBeAllClose([[0.75, -1.75, 0.25]], 1e-6);
    expect(logs.loss).toBeAllClose([0.5 * 3.5, 0.5 * (3.5 - 3 * 0.125)], 1e-6);
  });

  it('names options that are wrong', () => {
    expect(() => l1Penalty({ strength: -1 })).toThrow(OptionError);
    expect(() => l1Penalty({ strength: -1 })).toThrow(
      'l1Penalty: strength must be a number at least 0',
    );
    expect(() => l1Penalty({ lambda: 1 } as never)).toThrow('unknown option "lambda"');
  });
});

it('an l1Penalty on one weight leaves the others alone', () => {
  const layer = tfl.layers.dense({ units: 2, biasInitializer: 'ones', inputShape: [1] });
  parametrize(layer, { bias: [l1Penalty({ strength: 1 })] });
  expect(penaltyOf(tfl.sequential({ layers: [layer] }))).toBe(2);
});
