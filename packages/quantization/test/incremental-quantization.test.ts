import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { encodedBits } from '@thimble/base';
import { fit, parametrize, parametrizedWeights, summarize } from '@thimble/core';
import { incrementalQuantization, powersOfTwo } from '@thimble/quantization';
import { classifier, savedAndLoaded, snapshot, threeClasses, useCpu } from '@thimble/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fixPortion, powersOfTwoOf, toPowerOfTwo, topExponent } from '../src/powers-of-two.ts';
import { hiding } from './hiding.ts';

useCpu();

function denseOf(values: number[]) {
  return tfl.layers.dense({
    units: values.length,
    weights: [tf.tensor2d([values])],
    useBias: false,
    inputShape: [1],
    name: 'dense',
  });
}

describe('powers of two', () => {
  it('have the exponents of the paper', () => {
    // n1 = floor(log2(4 s / 3)): the paper's s = max|W|; 0.75 is 3/4 of 2^0, 0.74 is not.
    expect([0.75, 0.74, 1.49, 1.5, 3, 0.09375, 1e-30].map(topExponent)).toEqual([
      0, -1, 0, 1, 2, -3, -100,
    ]);
  });

  it('round as the paper says', () => {
    // bits 3, n1 -1: n2 = -2, the values 0, +-1/4, +-1/2.
    const x = [0, 0.12, 0.125, 0.37, 0.375, 0.74, 2, -0.125, -0.12, -5];
    expect(x.map((value) => toPowerOfTwo(value, -1, -2))).toEqual([
      0, 0, 0.25, 0.25, 0.5, 0.5, 0.5, -0.25, 0, -0.5,
    ]);
  });

  it('are the nearest values, but for the largest', () => {
    fc.assert(
      fc.property(
        fc.float({ min: Math.fround(-0.75), max: Math.fround(0.75), noNaN: true }),
        fc.integer({ min: 2, max: 6 }),
        (value, bits) => {
          const bottom = -1 + 1 - 2 ** (bits - 2);
          const levels = [0];
          for (let n = bottom; n <= -1; n++) levels.push(2 ** n, -(2 ** n));
          const nearest = Math.min(...levels.map((level) => Math.abs(level - value)));
          expect(Math.abs(toPowerOfTwo(value, -1, bottom) - value)).toBe(nearest);
        },
      ),
      { seed: 42, numRuns: 300 },
    );
  });

  const fixable = (values: number[], mask?: number[]) => {
    const layer = parametrize(denseOf(values), {
      kernel: [...(mask ? [hiding(mask)] : []), powersOfTwo({ bits: 3 })],
    });
    const model = tfl.sequential({ layers: [layer] });
    const weight = parametrizedWeights(model)[0]!;
    return { model, weight, link: powersOfTwoOf(weight)! };
  };

  it('are fixed a portion at a time, the largest first, and ties by place', () => {
    const { weight, link } = fixable([0.3, -0.3, 0.1, 0.3, 0.05, 0.7]);
    fixPortion(link, 0.5);
    expect(weight.bake()).toBeAllClose([[0.25, -0.25, 0.1, 0.3, 0.05, 0.5]]);
    fixPortion(link, 0.5); // no more than that
    expect(weight.bake()).toBeAllClose([[0.25, -0.25, 0.1, 0.3, 0.05, 0.5]]);
    expect(weight.encoding().values.type).toBe('float');
    fixPortion(link, 1);
    // s = 0.7: n1 = -1, n2 = -2
    expect(weight.bake()).toBeAllClose([[0.25, -0.25, 0, 0.25, 0, 0.5]], 0);
    expect(weight.encoding()).toMatchObject({
      values: { type: 'powersOfTwo', bits: 3, top: -1 },
      nonzero: 4,
    });
    expect(encodedBits(weight.encoding())).toBe(6 * 3 + 8);
  });

  it('keep the exponents of the first time', () => {
    const { weight, link } = fixable([0.7, 0.1, 0.2]);
    fixPortion(link, 0.3);
    tf.tidy(() => weight.variable.assign(tf.tensor2d([[0.7, 8, -0.2]])));
    fixPortion(link, 1);
    expect(weight.bake()).toBeAllClose([[0.5, 0.5, -0.25]], 0);
  });

  it('leave zeros of a mask at zero, and count without them', () => {
    const { weight, link } = fixable([9, 0.3, 0.7, 0.1, 0.2], [0, 1, 1, 1, 1]);
    fixPortion(link, 0.5);
    expect(weight.bake()).toBeAllClose([[0, 0.25, 0.5, 0.1, 0.2]]);
    fixPortion(link, 1);
    expect(weight.bake()).toBeAllClose([[0, 0.25, 0.5, 0, 0.25]], 0);
  });

  it('pass the gradient to what is free alone, and stay whatever an optimizer does', () => {
    const { model, weight, link } = fixable([0.7, 0.1]);
    fixPortion(link, 0.5);
    const loss = () => tf.sum(model.apply(tf.ones([1, 1])) as tf.Tensor) as tf.Scalar;
    const { grads } = tf.variableGrads(loss, [weight.variable]);
    expect(Object.values(grads)[0]).toBeAllClose([[0, 1]], 0);
    tf.tidy(() => weight.variable.assign(tf.tensor2d([[-3, 0.2]])));
    expect(weight.bake()).toBeAllClose([[0.5, 0.2]]);
  });

  it('keep a weight of zeros, and refuse NaN', () => {
    const zeros = fixable([0, 0]);
    fixPortion(zeros.link, 1);
    expect(zeros.weight.bake()).toBeAllClose([[0, 0]], 0);
    const broken = fixable([0, Number.NaN]);
    expect(() => fixPortion(broken.link, 1)).toThrow('entry 1 of "kernel" of layer "dense" is NaN');
  });
});

describe('incrementalQuantization', () => {
  const data = () => threeClasses(6, 5);
  const loss = 'categoricalCrossentropyFromLogits';

  it('has quantised all kernels in the end, and saves what it did', async () => {
    const model = classifier();
    const callbacks = [incrementalQuantization({ bits: 4, epochsPerPortion: 2 })];
    const { logs } = await fit(model, data(), { epochs: 7, loss, callbacks, progress: false });
    const [half, , three] = [0, 1, 2].map((i) => logs.quantized![i]!);
    expect(half).toBeCloseTo(0.5, 1);
    expect(three).toBeCloseTo(0.75, 1);
    expect(logs.quantized!.at(-1)).toBe(1);
    for (const weight of parametrizedWeights(model)) {
      const values = [...weight.bake().dataSync()].filter((value) => value !== 0);
      for (const value of values) expect(Number.isInteger(Math.log2(Math.abs(value)))).toBe(true);
    }
    const { total } = summarize(model);
    expect(total.bits).toBe((6 * 8 + 8 * 3) * 4 + 2 * 8 + 11 * 32);
    expect(snapshot(await savedAndLoaded(model))).toEqual(snapshot(model));
  });

  it('names what is wrong', async () => {
    expect(() => incrementalQuantization({ bits: 9 })).toThrow('bits must be a whole number');
    expect(() => incrementalQuantization({ portions: [0.5] })).toThrow('portions must end with 1');
    expect(() => incrementalQuantization({ portions: [0.6, 0.5, 1] })).toThrow('portions must be');
    expect(() => incrementalQuantization({ partition: 'large' as never })).toThrow(
      'partition must be',
    );
    expect(() => incrementalQuantization({ bit: 3 } as never)).toThrow('"bit"');
    const model = classifier();
    const run = (bits: number) =>
      fit(model, data(), { loss, progress: false, callbacks: [incrementalQuantization({ bits })] });
    await run(3);
    await expect(run(4)).rejects.toThrow('has powers of two with 3 bits already, not 4');
  });
});
