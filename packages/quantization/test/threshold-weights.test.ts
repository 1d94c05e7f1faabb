import { encodedBits } from '@thimble/base';
import { releaseMoment, setMoment } from '@thimble/core';
import { thresholdWeights } from '@thimble/quantization';
import { describeTransformContract, savedAndLoaded, snapshot, useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';
import { dense, gradients, masking, seenInTraining } from './small-weights.ts';

useCpu();

const inside = (stored: number[], upstream: number[]) =>
  upstream.map((value, i) => (Math.abs(stored[i]!) <= 1 ? value : 0));

describeTransformContract('thresholdWeights', {
  make: () => thresholdWeights({ threshold: 0.1 }),
  gradient: inside,
});
describeTransformContract('thresholdWeights with thresholds drawn once', {
  make: () => thresholdWeights({ threshold: 'drawnOnce', values: 'signs' }),
  gradient: inside,
});
describeTransformContract('thresholdWeights with thresholds drawn for each step', {
  make: () => thresholdWeights({ threshold: 'drawnEachStep' }),
});

describe('thresholdWeights', () => {
  // google/qkeras, tests/qactivation_test.py: binary quantizer with use_01; 0 becomes the upper value. Larq's
  // ste_heaviside makes 0 of 0 (larq/quantizers_test.py); here the sign of 0 is +1 everywhere.
  it('makes 0 and 1 as qkeras does', () => {
    const x = [-11, -7, -4, -0.2, 0, 0.3, 1, 4, 10];
    const { layer, weight } = dense([x], thresholdWeights());
    expect(weight.bake()).toBeAllClose([[0, 0, 0, 0, 1, 1, 1, 1, 1]], 0);
    expect(seenInTraining(layer, 1)).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 1]);
    expect(weight.encoding().nonzero).toBe(5);
    // nine codes of one bit, a scale and a zero point of one bit
    expect(encodedBits(weight.encoding())).toBe(9 + 32 + 1);
  });

  it('compares with the threshold', () => {
    const { weight } = dense(
      [[0.25, 0.5, 0.75]],
      thresholdWeights({ threshold: 0.5, values: 'signs' }),
    );
    expect(weight.bake()).toBeAllClose([[-1, 1, 1]], 0);
    expect(encodedBits(weight.encoding())).toBe(3);
  });

  it('draws thresholds once, from its seed, and keeps them when saved', async () => {
    const kernel = [Array.from({ length: 4000 }, () => 0.5)];
    const { model, weight } = dense(kernel, thresholdWeights({ threshold: 'drawnOnce', seed: 3 }));
    const baked = Array.from(weight.bake().dataSync());
    // u in [-1, 1) is at most 0.5 in three of four cases; five standard deviations
    const share = baked.reduce((sum, value) => sum + value, 0) / 4000;
    expect(Math.abs(share - 0.75)).toBeLessThan(5 * Math.sqrt((0.75 * 0.25) / 4000));
    const again = dense(kernel, thresholdWeights({ threshold: 'drawnOnce', seed: 3 })).weight;
    expect(Array.from(again.bake().dataSync())).toEqual(baked);
    const other = dense(kernel, thresholdWeights({ threshold: 'drawnOnce', seed: 4 })).weight;
    expect(Array.from(other.bake().dataSync())).not.toEqual(baked);
    expect(snapshot(await savedAndLoaded(model))).toEqual(snapshot(model));
  });

  it('draws thresholds for each step, and is their mean at test time', () => {
    const kernel = [Array.from({ length: 4000 }, () => -0.5)];
    const { layer, weight } = dense(kernel, thresholdWeights({ threshold: 'drawnEachStep' }));
    setMoment({ step: 1, seed: 1 });
    const drawn = seenInTraining(layer, 1);
    setMoment({ step: 2, seed: 1 });
    expect(seenInTraining(layer, 1)).not.toEqual(drawn);
    releaseMoment();
    expect(new Set(drawn)).toEqual(new Set([0, 1]));
    const share = drawn.reduce((sum, value) => sum + value, 0) / 4000;
    expect(Math.abs(share - 0.25)).toBeLessThan(5 * Math.sqrt((0.75 * 0.25) / 4000));
    expect(new Set(weight.bake().dataSync())).toEqual(new Set([0.25]));
    const signs = dense(
      [[-3, 0.5]],
      thresholdWeights({ threshold: 'drawnEachStep', values: 'signs' }),
    );
    expect(signs.weight.bake()).toBeAllClose([[-1, 0.5]], 0);
    expect(encodedBits(signs.weight.encoding())).toBe(64);
  });

  it('passes no gradient beyond 1, and keeps pruned entries at 0', () => {
    const { layer, weight } = dense([[1.5], [0.5], [0.9]], masking([1, 1, 0]), thresholdWeights());
    expect(gradients(layer, weight, [[2], [3], [5]])[0]).toBeAllClose([0, 3, 0], 0);
    expect(weight.bake()).toBeAllClose([[1], [1], [0]], 0);
    const signs = dense([[-0.5], [0.5]], masking([1, 0]), thresholdWeights({ values: 'signs' }));
    expect(signs.weight.bake()).toBeAllClose([[-1], [0]], 0);
  });

  it('refuses what it does not know', () => {
    expect(() => thresholdWeights({ values: 'ternary' } as never)).toThrow('values must be');
    expect(() => thresholdWeights({ threshold: 'drawn' } as never)).toThrow('threshold must be');
    expect(() => thresholdWeights({ threshold: Number.NaN })).toThrow('threshold must be');
    expect(() => thresholdWeights({ seed: Number.NaN })).toThrow('seed');
  });
});
