import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { encodedBits } from '@thimble/base';
import { fit, parametrize, parametrizedWeights } from '@thimble/core';
import { binaryWeights } from '@thimble/quantization';
import { describeTransformContract, useCpu } from '@thimble/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { dense, gradients, indexAlong, masking, seenInTraining } from './small-weights.ts';

useCpu();

const sign = (value: number) => (value >= 0 ? 1 : -1);

/** The exact gradient in double precision, filter by filter. */
function exact(stored: number[], upstream: number[], filters: number[]): number[] {
  return stored.map((value, i) => {
    const mine = filters.flatMap((filter, j) => (filter === filters[i] ? [j] : []));
    const scale = mine.reduce((sum, j) => sum + Math.abs(stored[j]!), 0) / mine.length;
    const ofScale = mine.reduce((sum, j) => sum + upstream[j]! * sign(stored[j]!), 0);
    const inside = Math.abs(value) <= 1 ? 1 : 0;
    return (sign(value) * ofScale) / mine.length + upstream[i]! * scale * inside;
  });
}

describeTransformContract('binaryWeights', {
  make: () => binaryWeights(),
  gradient: (stored, upstream, shape, axes) => exact(stored, upstream, indexAlong(shape, axes.out)),
});

describe('centred binaryWeights', () => {
  it('is centred and clipped at the beginning of a step outside of fit', () => {
    const { layer, weight } = dense(
      [
        [3, 0.25],
        [0.5, 0.5],
        [-0.5, 0],
      ],
      binaryWeights({ centre: true }),
    );
    const loss = () => tf.sum(layer.apply(tf.eye(3), { training: true }) as tf.Tensor) as tf.Scalar;
    tf.dispose(tf.variableGrads(loss).grads);
    expect(weight.variable).toBeAllClose(
      [
        [1, 0],
        [-0.5, 0.25],
        [-1, -0.25],
      ],
      1e-6,
    );
  });
});

describe('binaryWeights', () => {
  const kernel = [
    [0.5, -2],
    [-1.5, 0],
  ];

  it('has the mean magnitude of a filter as its scale', () => {
    const { layer, weight } = dense(kernel, binaryWeights());
    // |0.5|, |-1.5| -> 1; |-2|, |0| -> 1, the sign of 0 being +1
    expect(weight.bake()).toBeAllClose(
      [
        [1, -1],
        [-1, 1],
      ],
      0,
    );
    expect(seenInTraining(layer, 2)).toEqual([1, -1, -1, 1]);
    const one = dense(kernel, binaryWeights({ scale: 'layer' })).weight;
    expect(one.encoding().values).toEqual({
      type: 'binary',
      bits: 1,
      scale: Float32Array.of(1),
      axis: null,
    });
    // four signs, two scales; four signs, one scale
    expect(encodedBits(weight.encoding())).toBe(4 + 2 * 32);
    expect(encodedBits(one.encoding())).toBe(4 + 32);
  });

  it('has the gradient that the paper prints, if asked', () => {
    const { layer, weight } = dense(kernel, binaryWeights({ gradient: 'paper' }));
    // dL/dw_i (1/n + a [|w_i| <= 1]) with n = 2, a = 1
    const [gradient] = gradients(layer, weight, [
      [2, 3],
      [5, 7],
    ]);
    expect(gradient).toBeAllClose([2 * 1.5, 3 * 0.5, 5 * 0.5, 7 * 1.5], 1e-6);
  });

  it('has the exact gradient: by hand', () => {
    const { layer, weight } = dense(kernel, binaryWeights());
    // filter 0: sum g s = 2 - 5 = -3; filter 1: -3 + 7 = 4
    const [gradient] = gradients(layer, weight, [
      [2, 3],
      [5, 7],
    ]);
    expect(gradient).toBeAllClose([-1.5 + 2, -2, 1.5, 2 + 7], 1e-6);
  });

  it('agrees with finite differences where only the scale changes', () => {
    // Beyond 1 the sign contributes nothing, so that the gradient is the derivative of the loss.
    const at = (w: number) => {
      const { weight } = dense([[w], [-3], [2]], binaryWeights());
      return (weight.bake().dataSync() as Float32Array).reduce(
        (sum, v, i) => sum + v * [2, 3, 7][i]!,
        0,
      );
    };
    const { layer, weight } = dense([[1.5], [-3], [2]], binaryWeights());
    const [gradient] = gradients(layer, weight, [[2], [3], [7]]);
    expect(gradient![0]).toBeCloseTo((at(1.75) - at(1.25)) / 0.5, 4);
  });

  it('is the nearest scaled binary weight: no other scale and no other signs are nearer', () =>
    fc.assert(
      fc.property(
        fc.array(fc.float({ min: -4, max: 4, noNaN: true }), { minLength: 1, maxLength: 6 }),
        (values) => {
          const baked = dense(
            values.map((value) => [value]),
            binaryWeights(),
          )
            .weight.bake()
            .dataSync();
          const distance = (candidate: ArrayLike<number>) =>
            values.reduce((sum, value, i) => sum + (value - candidate[i]!) ** 2, 0);
          const found = distance(baked);
          for (let signs = 0; signs < 2 ** values.length; signs++) {
            for (const scale of [0.5, 0.9, 1, 1.1, 2].map((f) => f * Math.abs(baked[0]!))) {
              const other = values.map((_, i) => ((signs >> i) & 1 ? scale : -scale));
              expect(found).toBeLessThanOrEqual(distance(other) + 1e-4);
            }
          }
        },
      ),
      { seed: 42, numRuns: 30 },
    ));

  it('leaves pruned entries at 0 and out of the mean', () => {
    const { layer, weight } = dense([[0.5], [3], [-1.5]], masking([1, 0, 1]), binaryWeights());
    expect(weight.bake()).toBeAllClose([[1], [0], [-1]], 0);
    expect(seenInTraining(layer, 3)).toEqual([1, 0, -1]);
    // n = 2: (sum of g s over the kept) / 2 = (2 - 7) / 2
    const [gradient] = gradients(layer, weight, [[2], [5], [7]]);
    expect(gradient).toBeAllClose([-2.5 + 2, 0, 2.5], 1e-6);
  });

  it('centres the stored weight over its input channels and clips it, after a step', async () => {
    const layer = tfl.layers.conv2d({
      filters: 1,
      kernelSize: 1,
      useBias: false,
      weights: [tf.tensor4d([3, 0.5, -0.5], [1, 1, 3, 1])],
      inputShape: [1, 1, 3],
    });
    parametrize(layer, { kernel: [binaryWeights({ centre: true })] });
    const model = tfl.sequential({ layers: [layer, tfl.layers.flatten()] });
    const options = {
      loss: 'meanSquaredError',
      optimizer: tf.train.sgd(0),
      progress: false,
    } as const;
    await fit(model, { xs: tf.zeros([1, 1, 1, 3]), ys: tf.zeros([1, 1]) }, options);
    // mean 1: 2, -0.5, -1.5, clipped to [-1, 1]
    expect(parametrizedWeights(model)[0]!.variable).toBeAllClose([[[[1], [-0.5], [-1]]]], 1e-6);
  });

  it('refuses what it does not know', () => {
    expect(() => binaryWeights({ scale: 'channel' } as never)).toThrow(
      'scale must be filter or layer',
    );
    expect(() => binaryWeights({ gradient: 'none' } as never)).toThrow(
      'gradient must be exact or paper',
    );
    expect(() => binaryWeights({ center: true } as never)).toThrow('"center"');
  });
});
