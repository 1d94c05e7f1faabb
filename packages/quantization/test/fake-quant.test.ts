import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { encodedBits, OptionError } from '@thimble/base';
import { parametrize, parametrizedWeights } from '@thimble/core';
import { fakeQuant, fakeQuantize } from '@thimble/quantization';
import { useCpu } from '@thimble/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

useCpu();

// Figures of tensorflow/tensorflow, core/kernels/fake_quant_ops_test.cc: [bits, min, max, x, expected].
// TensorFlow rounds codes half up, this package half to even; no figure here sits on a half.
const tensorflow: [number, number, number, number[], number[]][] = [
  [8, -10, 53.75, [-10.1, -10, -9.9, -9.75, 53.75, 53.8], [-10, -10, -10, -9.75, 53.75, 53.75]],
  [8, -0.1, 63.65, [-0.1, 0, 0.1, 0.25, 63.75, 63.8], [0, 0, 0, 0.25, 63.75, 63.75]],
  [8, -0.1275, 63.6225, [-0.26, -0.25, -0.24, 0, 63.5, 63.6], [-0.25, -0.25, -0.25, 0, 63.5, 63.5]],
  [8, -63.65, 0.1, [-63.8, -63.75, -63.7, -63.5, 0, 0.1], [-63.75, -63.75, -63.75, -63.5, 0, 0]],
  [4, -6, 1.5, [-6.1, -6, -5.9, -5.5, 1.5, 1.6], [-6, -6, -6, -5.5, 1.5, 1.5]],
  [4, -0.1, 7.4, [-0.1, 0, 0.1, 0.5, 7.5, 7.6], [0, 0, 0, 0.5, 7.5, 7.5]],
  [4, -0.4, 7.1, [-0.6, -0.5, -0.24, 0, 7, 7.1], [-0.5, -0.5, 0, 0, 7, 7]],
  [4, -7.3, 0.2, [-7.6, -7.5, -7.4, -7.2, 0, 0.1], [-7.5, -7.5, -7.5, -7, 0, 0]],
  [2, -1, 0.5, [-1.1, -1, -0.9, -0.3, 0.1, 0.6], [-1, -1, -1, -0.5, 0, 0.5]],
  [2, -0.1, 1.4, [-0.2, 0.1, 0.7, 1, 1.3, 1.6], [0, 0, 0.5, 1, 1.5, 1.5]],
  [2, -0.4, 1.1, [-0.6, -0.5, -0.24, 0, 1, 1.1], [-0.5, -0.5, 0, 0, 1, 1]],
  [8, 0, 0, [0, 0, 0], [0, 0, 0]],
  [8, -10, 10, [0, 0, 0], [0, 0, 0]],
];

// Same source: 1 where the straight-through gradient passes. The second range puts -min/scale on 0.5:
// zero points round half up there and here.
const passing: [number, number, number, number[], number[]][] = [
  [8, -0.125, 63.625, [-0.26, -0.25, -0.24, 0, 63.5, 63.6], [0, 1, 1, 1, 1, 0]],
  [4, -0.4, 7.1, [-0.6, -0.5, -0.4, 0, 7, 7.1], [0, 1, 1, 1, 1, 0]],
];

/** A kernel seen through fake quantisation. */
function kernelOf(values: number[][], options: Parameters<typeof fakeQuant>[0]) {
  const layer = tfl.layers.dense({
    units: values[0]!.length,
    weights: [tf.tensor2d(values)],
    useBias: false,
    inputShape: [values.length],
  });
  parametrize(layer, { kernel: [fakeQuant(options)] });
  return parametrizedWeights(tfl.sequential({ layers: [layer] }))[0]!;
}

describe('fakeQuantize', () => {
  it.each(tensorflow)('%i bits over [%d, %d]', (bits, min, max, x, expected) => {
    expect(fakeQuantize(tf.tensor(x), min, max, { bits })).toBeAllClose(expected, 1e-4);
  });

  it.each(passing)(
    'passes gradients inside the grid: %i bits over [%d, %d]',
    (bits, min, max, x, pass) => {
      const upstream = [2, 3, 5, 7, 11, 13];
      const gradient = tf.grad((t) => fakeQuantize(t, min, max, { bits }))(
        tf.tensor(x),
        tf.tensor(upstream),
      );
      expect(gradient).toBeAllClose(upstream.map((value, i) => value * pass[i]!));
    },
  );

  it('rounds halves to even', () => {
    // Steps of 1 from 0: 0.5 -> 0, 1.5 -> 2, 2.5 -> 2.
    expect(fakeQuantize(tf.tensor([0.5, 1.5, 2.5]), 0, 15, { bits: 4 })).toBeAllClose([0, 2, 2], 0);
  });

  it('refuses numbers that are no range', () => {
    const ends = [
      [Number.NaN, 1],
      [0, Number.NaN],
      [Number.NEGATIVE_INFINITY, 0],
      [5, 2],
    ] as const;
    for (const [min, max] of ends) {
      expect(() => fakeQuantize(tf.scalar(1), min, max, { bits: 8 })).toThrow(OptionError);
    }
    expect(() => fakeQuantize(tf.scalar(1), tf.scalar(0), Number.NaN, { bits: 8 })).toThrow('NaN');
  });

  it('takes a range per channel', () => {
    const x = tf.tensor2d([
      [0.4, 4],
      [1, 10],
    ]);
    const max = tf.tensor2d([[1.5, 15]]);
    // Steps of 0.5 and 5 with 2 bits; 0.4 -> 0.5, 4 -> 5.
    expect(fakeQuantize(x, 0, max, { bits: 2 })).toBeAllClose([
      [0.5, 5],
      [1, 10],
    ]);
  });
});

describe('fakeQuant', () => {
  it('spreads its codes over the range of the weight', () => {
    // min -1, max 2: scale 3/3 = 1 with 2 bits.
    const weight = kernelOf([[-1, 0.4, 2, 0.6]], { bits: 2 });
    expect(weight.bake()).toBeAllClose([[-1, 0, 2, 1]]);
    const { values } = weight.encoding();
    expect(values).toEqual({
      type: 'affine',
      bits: 2,
      scale: Float32Array.of(1),
      zeroPoint: Int32Array.of(1),
      axis: null,
    });
  });

  it('reaches equally far both ways when symmetric and narrow', () => {
    // max|w| = 3 -> scale 2*3/(7-1) = 1: codes -3..3 around zero point 4.
    const weight = kernelOf([[-3, 1.4, 2.6]], { bits: 3, symmetric: true, narrowRange: true });
    expect(weight.bake()).toBeAllClose([[-3, 1, 3]]);
    expect(weight.encoding().values).toMatchObject({ zeroPoint: Int32Array.of(4) });
  });

  // vllm-project/compressed-tensors, test_static_lifecycle.py: 4 bits symmetric, scale = absmax*2/15,
  // a scale per row of arange(24) as 4x6 (there rows are outputs, so the kernel is its transpose).
  // It computes in bfloat16, hence 1 percent.
  it('has a scale per output channel', () => {
    const rows = [
      [0, 1.3359, 2, 2.6719, 4, 4.6875],
      [5.875, 7.3438, 7.3438, 8.8125, 10.25, 10.25],
      [11.3125, 13.625, 13.625, 15.875, 15.875, 15.875],
      [18.375, 18.375, 21.5, 21.5, 21.5, 21.5],
    ];
    const transpose = (m: number[][]) => m[0]!.map((_, j) => m.map((row) => row[j]!));
    const kernel = transpose(
      [0, 6, 12, 18].map((start) => [0, 1, 2, 3, 4, 5].map((i) => start + i)),
    );
    const weight = kernelOf(kernel, { bits: 4, symmetric: true, perChannel: true });
    expect(weight.bake()).toBeAllClose(transpose(rows), 0.01);
    expect(weight.encoding().values).toMatchObject({
      axis: 1,
      zeroPoint: Int32Array.of(8, 8, 8, 8),
    });
  });

  // quic/aimet, TestQuantizationFunctions.cpp: block-wise quantisation of 2x2x2x2 with a step per pair
  // (first axis, last axis). Here the pair's groups run along the two axes between, laid out as the
  // input axis of a dense kernel: 4 inputs, 2 outputs, for each half of the figures. The steps there are
  // given, so the ranges here are made to give them: 8 bits over [-64, 63.5], [-128, 127] ...
  it('has a scale per group of inputs and output', () => {
    const x = [-125.1, -125.1, 48.3, 48.3, 68.3, 68.3, -3.1, -3.1];
    const expected = [
      [-64, -125, 48.5, 48, 63.5, 68, -3, -3],
      [-126, -124, 48, 48, 68, 68, -4, -4],
    ];
    const ends = [
      [-64, -128, 63.5, 127],
      [-256, -512, 254, 508],
    ];
    // Each group: the four figures, clipped to the range, and the two ends of the range.
    const kernel = ends.flatMap(([min0, min1, max0, max1]) => [
      ...[0, 1, 2, 3].map((i) => [
        Math.min(max0!, Math.max(min0!, x[2 * i]!)),
        Math.min(max1!, Math.max(min1!, x[2 * i + 1]!)),
      ]),
      [min0!, min1!],
      [max0!, max1!],
    ]);
    const weight = kernelOf(kernel, { bits: 8, groupSize: 6 });
    const baked = weight.bake().arraySync() as number[][];
    expect(baked.slice(0, 4).flat()).toBeAllClose(expected[0]!, 1e-6);
    expect(baked.slice(6, 10).flat()).toBeAllClose(expected[1]!, 1e-6);
    expect(weight.encoding().values).toEqual({
      type: 'affine',
      bits: 8,
      scale: Float32Array.of(0.5, 1, 2, 4),
      zeroPoint: Int32Array.of(128, 128, 128, 128),
      axis: 0,
      group: 6,
    });
  });

  it('has a smaller last group where the size does not divide the inputs', () => {
    // Inputs 1..3 in groups of 2, 2 bits: steps 2/3 for [1, 2], 1 for [3].
    const weight = kernelOf([[1], [2], [3]], { bits: 2, groupSize: 2 });
    expect(weight.bake()).toBeAllClose([[4 / 3], [2], [3]]);
    expect(weight.encoding().values).toMatchObject({ scale: Float32Array.of(2 / 3, 1) });
    // 3 codes of 2 bits, 2 scales and 2-bit zero points
    expect(encodedBits(weight.encoding())).toBe(3 * 2 + 2 * (32 + 2));
  });

  it('keeps a weight of zeros at zero, and lets its gradient pass', () => {
    const weight = kernelOf([[0, 0]], { bits: 8 });
    expect(weight.bake()).toBeAllClose([[0, 0]], 0);
    const { links, variable } = weight;
    const gradient = tf.grad((w) => links[0]!.transform.apply(w, links[0]!.state, never));
    expect(gradient(variable)).toBeAllClose([[1, 1]]);
  });

  it('stores the bits that it says', () => {
    const weight = kernelOf([[-1, 0.4, 2, 0.6]], { bits: 3 });
    // 4 codes of 3 bits, a 32-bit scale and a 3-bit zero point
    expect(encodedBits(weight.encoding())).toBe(4 * 3 + 32 + 3);
  });

  it('refuses ranges per channel where there are no channels, and leaves the layer as it was', () => {
    class Gain extends tfl.layers.Layer {
      static readonly className = 'MyGain';
      gain!: ReturnType<tfl.layers.Layer['addWeight']>;
      override build(): void {
        this.gain = this.addWeight('gain', [], 'float32', tfl.initializers.ones());
        this.built = true;
      }
      override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
        return tf.mul(Array.isArray(inputs) ? inputs[0]! : inputs, this.gain.read());
      }
    }
    const layer = new Gain({ name: 'gain', inputShape: [2] } as never);
    const model = tfl.sequential({ layers: [layer] });
    expect(() => parametrize(layer, { gain: [fakeQuant({ bits: 8, perChannel: true })] })).toThrow(
      /"gain" of layer "gain" has no channels/,
    );
    expect(parametrizedWeights(model)).toEqual([]);
    expect(model.predict(tf.ones([1, 2]))).toBeAllClose([[1, 1]], 0);
  });

  it('names options that are wrong', () => {
    expect(() => fakeQuant({ bits: 1 })).toThrow(
      'fakeQuant: bits must be a whole number from 2 to 16',
    );
    expect(() => fakeQuant({ bits: 17 })).toThrow('bits');
    expect(() => fakeQuant({ bits: 8, groupSize: 0 })).toThrow('groupSize');
    expect(() => fakeQuant({ bits: 8, groupSize: 4, perChannel: true })).toThrow(
      'leave out perChannel',
    );
    expect(() => fakeQuant({ bits: 8, perchannel: true } as never)).toThrow('"perchannel"');
  });
});

const never = { training: false, step: 0, learningRate: Number.NaN, random: () => tf.zeros([0]) };

describe('for every weight, fakeQuant', () => {
  const weights = fc.array(fc.float({ min: -100, max: 100, noNaN: true }), {
    minLength: 1,
    maxLength: 30,
  });
  const options = fc.record({
    bits: fc.integer({ min: 2, max: 16 }),
    symmetric: fc.boolean(),
    narrowRange: fc.boolean(),
  });
  const property = (
    check: (w: number[], q: number[], options: { bits: number }, scale: number) => void,
  ) =>
    fc.assert(
      fc.property(weights, options, (w, chosen) =>
        tf.tidy(() => {
          const weight = kernelOf([w.map(Math.fround)], chosen);
          const { values } = weight.encoding();
          const scale = values.type === 'affine' ? values.scale[0]! : Number.NaN;
          check(w.map(Math.fround), Array.from(weight.bake().dataSync()), chosen, scale);
        }),
      ),
      { seed: 42, numRuns: 60 },
    );

  it('moves no entry further than a step', () =>
    property((w, q, _options, scale) => {
      w.forEach((value, i) => {
        expect(Math.abs(q[i]! - value)).toBeLessThanOrEqual(scale * 1.001);
      });
    }));

  it('keeps zeros, and uses at most 2^bits values', () =>
    property((w, q, { bits }) => {
      w.forEach((value, i) => {
        if (value === 0) expect(Math.abs(q[i]!)).toBe(0);
      });
      expect(new Set(q).size).toBeLessThanOrEqual(2 ** bits);
    }));

  it('keeps the order of the entries', () =>
    property((w, q) => {
      const order = w.map((_, i) => i).sort((a, b) => w[a]! - w[b]!);
      for (let i = 1; i < order.length; i++) {
        expect(q[order[i]!]!).toBeGreaterThanOrEqual(q[order[i - 1]!]!);
      }
    }));
});
