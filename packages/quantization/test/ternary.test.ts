import * as tf from '@tensorflow/tfjs-core';
import { encodedBits } from '@thimble/base';
import { parametrizedWeights } from '@thimble/core';
import { ternaryWeights, trainedTernary } from '@thimble/quantization';
import { describeTransformContract, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { dense, gradients, masking, seenInTraining } from './small-weights.ts';

useCpu();

describeTransformContract('ternaryWeights', {
  make: () => ternaryWeights(),
  gradient: (_stored, upstream) => upstream,
});

describeTransformContract('ternaryWeights per channel', {
  make: () => ternaryWeights({ perChannel: true, threshold: 0.5 }),
  gradient: (_stored, upstream) => upstream,
});

describeTransformContract('trainedTernary', {
  make: () => trainedTernary({ threshold: 0.3 }),
  gradient(stored, upstream) {
    const limit = 0.3 * Math.max(...stored.map(Math.abs));
    const mean = (values: number[]) =>
      values.length > 0 ? values.reduce((sum, v) => sum + Math.abs(v), 0) / values.length : 1;
    const positive = mean(stored.filter((value) => value > limit));
    const negative = mean(stored.filter((value) => value < -limit));
    return stored.map((value, i) => {
      const factor = value > limit ? positive : value < -limit ? negative : 1;
      return factor * upstream[i]!;
    });
  },
});

describe('ternaryWeights', () => {
  // mean |w| = 1, threshold 0.7: kept 2, -1 and 1.5, whose mean magnitude is 1.5
  const kernel = [
    [2, -1, 0.5],
    [0, 1.5, -0.5],
    [0.7, 0.1, 2.7],
  ];

  it('keeps what is above 0.7 of the mean, with the mean of what is kept', () => {
    const { layer, weight } = dense([[2, -1, 0.5, 0, 1.5, 1]], ternaryWeights());
    // mean 1: kept 2, -1, 1.5, 1, mean 5.5 / 4
    const scale = 5.5 / 4;
    const expected = [scale, -scale, 0, 0, scale, scale];
    expect(weight.bake()).toBeAllClose([expected], 1e-6);
    expect(seenInTraining(layer, 1)).toBeAllClose(expected, 1e-6);
    expect(weight.encoding()).toMatchObject({
      nonzero: 4,
      values: {
        type: 'affine',
        bits: 2,
        scale: Float32Array.of(scale),
        zeroPoint: Int32Array.of(1),
      },
    });
    // six codes of two bits, a scale, a zero point of two bits
    expect(encodedBits(weight.encoding())).toBe(6 * 2 + 32 + 2);
  });

  it('has thresholds and scales per channel, if asked', () => {
    const { weight } = dense(kernel, ternaryWeights({ perChannel: true }));
    // columns: mean 0.9 -> d 0.63, kept 2 and 0.7; 0.8667 -> 0.6067, kept 1 and 1.5; 1.2333 -> 0.8633, 2.7
    expect(weight.bake()).toBeAllClose(
      [
        [1.35, -1.25, 0],
        [0, 1.25, 0],
        [1.35, 0, 2.7],
      ],
      1e-6,
    );
    expect(weight.encoding().values).toMatchObject({ axis: 1 });
  });

  it('keeps weights of zeros, and zeros of a mask', () => {
    expect(dense([[0, 0]], ternaryWeights()).weight.bake()).toBeAllClose([[0, 0]], 0);
    const { weight } = dense([[3, 3, -3]], masking([1, 0, 1]), ternaryWeights());
    expect(weight.bake()).toBeAllClose([[3, 0, -3]], 0);
  });

  it('refuses thresholds below 0', () => {
    expect(() => ternaryWeights({ threshold: -1 })).toThrow('threshold');
  });
});

describe('trainedTernary', () => {
  const kernel = [
    [2, -1, 0.1],
    [0, 1, -0.2],
  ];

  it('begins with the mean magnitudes of both sides, and trains them', () => {
    const { layer, weight } = dense(kernel, trainedTernary({ threshold: 0.25 }));
    // threshold 0.5: above 2 and 1, mean 1.5; below -1
    expect(weight.bake()).toBeAllClose(
      [
        [1.5, -1, 0],
        [0, 1.5, 0],
      ],
      1e-6,
    );
    const [ofWeight, positive, negative] = gradients(layer, weight, [
      [2, 3, 5],
      [7, 11, 13],
    ]);
    expect(ofWeight).toBeAllClose([2 * 1.5, 3, 5, 7, 11 * 1.5, 13], 1e-6);
    expect(positive).toBeAllClose([13], 1e-6);
    expect(negative).toBeAllClose([-3], 1e-6);
  });

  it('stores a table of three values', () => {
    const { weight, layer } = dense(kernel, trainedTernary({ threshold: 0.25 }));
    layer.setWeights([tf.tensor2d(kernel), tf.tensor1d([4]), tf.tensor1d([0.5])]);
    expect(weight.bake()).toBeAllClose(
      [
        [4, -0.5, 0],
        [0, 4, 0],
      ],
      0,
    );
    expect(weight.encoding()).toMatchObject({
      nonzero: 3,
      values: { type: 'codebook', bits: 2, centroids: Float32Array.of(-0.5, 0, 4) },
    });
    expect(encodedBits(weight.encoding())).toBe(6 * 2 + 3 * 32);
  });

  it('begins with 1 where a side is empty', () => {
    const { model } = dense([[1, 2]], trainedTernary());
    const [weight] = parametrizedWeights(model);
    expect(
      Array.from(
        weight!.encoding().values.type === 'codebook' ? weight!.variables[2]!.dataSync() : [],
      ),
    ).toEqual([1]);
  });

  it('refuses thresholds outside [0, 1]', () => {
    expect(() => trainedTernary({ threshold: 2 })).toThrow('threshold');
  });
});
