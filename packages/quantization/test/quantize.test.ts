import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  DataError,
  NoMatchError,
  NonFiniteError,
  OptionError,
  ShapeError,
  UnsupportedError,
  withSeed,
} from '@thimble/base';
import {
  parametrize,
  parametrizedWeights,
  registerTransform,
  summarize,
  type WeightTransform,
} from '@thimble/core';
import {
  fakeQuant,
  fixedQuant,
  float16,
  type QuantizeOptions,
  quantize,
} from '@thimble/quantization';
import { expectNoLeaks, outputs, savedAndLoaded, snapshot, useCpu } from '@thimble/testing';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toHalf } from '../src/float16.ts';
import { hiding } from './hiding.ts';

useCpu();

/** A dense layer with the given kernel and no bias. */
function dense(kernel: number[][]): tfl.Sequential {
  const layer = tfl.layers.dense({
    name: 'dense',
    units: kernel[0]!.length,
    useBias: false,
    inputShape: [kernel.length],
    weights: [tf.tensor2d(kernel)],
  });
  return tfl.sequential({ layers: [layer] });
}

function network(): tfl.Sequential {
  return withSeed(3, () =>
    tfl.sequential({
      layers: [
        tfl.layers.conv2d({ name: 'conv', filters: 4, kernelSize: 3, inputShape: [8, 8, 1] }),
        tfl.layers.batchNormalization({ name: 'norm' }),
        tfl.layers.depthwiseConv2d({ name: 'depthwise', kernelSize: 3, activation: 'relu' }),
        tfl.layers.flatten(),
        tfl.layers.dense({ name: 'dense', units: 3 }),
      ],
    }),
  );
}

const baked = (model: tfl.LayersModel) =>
  parametrizedWeights(model).map((weight) => [...weight.bake().dataSync()]);
const codes = (model: tfl.LayersModel) =>
  parametrizedWeights(model).map((weight) => weight.encoding().values);

describe('the grids of weights', () => {
  // microsoft/nni@v2.9 test_compressor_torch.py: weights 1..18 as two filters, scales by dtype and scheme.
  const kernel = Array.from({ length: 9 }, (_, i) => [i + 1, i + 10]);
  it.each<[string, QuantizeOptions, number[], number]>([
    ['symmetric per tensor', { granularity: 'tensor' }, [0.14173228346456693], 128],
    [
      'symmetric per channel',
      { granularity: 'channel' },
      [0.07086614173228346, 0.14173228346456693],
      128,
    ],
    ['affine per tensor', { scheme: 'affine', granularity: 'tensor' }, [0.07058823529411765], 0],
    [
      'affine per channel',
      { scheme: 'affine', granularity: 'channel' },
      [0.03529411764705882, 0.07058823529411765],
      0,
    ],
  ])('have the steps of other toolkits: %s', async (_, options, scale, zeroPoint) => {
    const [values] = codes(await quantize(dense(kernel), options));
    if (values?.type !== 'affine') throw new Error('not affine');
    expect([...values.scale]).toBeAllClose(scale, 1e-7);
    expect([...values.zeroPoint]).toEqual(scale.map(() => zeroPoint));
    expect(values.bits).toBe(8);
  });

  it('round to the nearest code, by hand', async () => {
    // 3 bits, symmetric, narrow: codes -3..3. Column 0 has the step 1, column 1 the step 2.
    const q = await quantize(
      dense([
        [3, -6],
        [1.4, 2.9],
        [0, 3.1],
      ]),
      { bits: 3 },
    ); // prettier-ignore
    expect(baked(q)).toEqual([[3, -6, 1, 2, 0, 4]]);
    // One step of 2 for all: 3 and 1.4 lie between 2 and 4 and between 0 and 2; halves go to even codes.
    const all = await quantize(
      dense([
        [3, -6],
        [1.4, 2.9],
      ]),
      { bits: 3, granularity: 'tensor' },
    );
    expect(baked(all)).toEqual([[4, -6, 2, 2]]);
  });

  it('are one per group of inputs', async () => {
    const q = await quantize(dense([[3], [1.4], [30], [14]]), {
      bits: 3,
      granularity: { group: 2 },
    });
    expect(baked(q)).toEqual([[3, 1, 30, 10]]);
    expect(codes(q)[0]).toMatchObject({ group: 2, axis: 0 });
  });

  it('are no finer than 2^-12 of the widest, so that a bias fits where a channel is dead', async () => {
    const layer = tfl.layers.dense({
      name: 'dense',
      units: 2,
      inputShape: [2],
      weights: [
        tf.tensor2d([
          [1, 1e-12],
          [-0.5, -1e-12],
        ]),
        tf.tensor1d([0.25, 0.75]),
      ],
    });
    const calibration = { xs: tf.tensor2d([[1, 0.5]]), ys: tf.zeros([1, 2]) };
    const q = await quantize(tfl.sequential({ layers: [layer] }), { calibration, progress: false });
    const [kernel] = codes(q);
    if (kernel?.type !== 'affine') throw new Error('not affine');
    expect(
      [...kernel.scale].map((scale, c) => scale / [1 / 127, (0.75 * 2 ** -12) / 127][c]!),
    ).toBeAllClose([1, 1], 1e-5);
    // 1 * 1 - 0.5 * 0.5 + 0.25 and, of the dead one, its bias.
    expect(q.predict(tf.tensor2d([[1, 0.5]]))).toBeAllClose([[1, 0.75]], 0.01);
  });

  it("clip outliers with ranges 'mse'", async () => {
    // 2 bits, narrow: -a, 0, a. Nineteen weights of 1 and one of 2: a = 2 rounds every 1 to 0, half way to
    // the even code, and costs 19; a = 1.05 costs 19 * 0.05^2 + 0.95^2, the least.
    const kernel = [...Array.from({ length: 19 }, () => [1]), [2]];
    const errorOf = async (ranges: 'minMax' | 'mse') => {
      const [values] = baked(await quantize(dense(kernel), { bits: 2, ranges }));
      return values!.reduce((sum, value, i) => sum + (value - kernel[i]![0]!) ** 2, 0);
    };
    expect(await errorOf('minMax')).toBeCloseTo(19);
    expect(await errorOf('mse')).toBeCloseTo(0.95, 2);
  });

  it('differ by layer where that is asked for', async () => {
    const q = await quantize(network(), { bits: 4, perLayer: { conv: 8, dense: false } });
    expect(codes(q).map(({ bits }) => bits)).toEqual([8, 4]);
    const some = await quantize(network(), { targets: [/^conv/, 'dense'] });
    expect(parametrizedWeights(some).map(({ layer }) => layer.name)).toEqual(['conv', 'dense']);
  });
});

describe('the model', () => {
  it('has kernels of few bits, and no batch normalisation', async () => {
    const q = await quantize(network(), { bits: 4 });
    expect(q.layers.some((layer) => layer.getClassName() === 'BatchNormalization')).toBe(false);
    // Kernels 36 + 36 + 192 weights of 4 bits; scales of 32 and zero points of 4 bits for 4 + 4 + 3
    // channels; biases 4 + 4 + 3 of 32 bits.
    expect(summarize(q).total.bits).toBe(4 * 264 + 36 * 11 + 32 * 11);
    const kept = await quantize(network(), { foldBatchNorm: false });
    expect(kept.getLayer('norm').getClassName()).toBe('BatchNormalization');
  });

  it('computes nearly what the given one does, which stays as it was', async () => {
    const model = network();
    const x = tf.randomNormal([4, 8, 8, 1], 0, 1, 'float32', 1);
    const [before, weights] = [outputs(model, x), snapshot(model)];
    const q = await quantize(model, { bits: 16 });
    expect(outputs(q, x)).toBeAllClose(before, 1e-3);
    expect(outputs(await quantize(model, { bits: 3 }), x)).not.toBeAllClose(before, 1e-2);
    expect(snapshot(model)).toEqual(weights);
    expect(parametrizedWeights(model)).toEqual([]);
    q.dispose();
    expect(outputs(model, x)).toEqual(before);
  });

  it('survives saving', async () => {
    const q = await quantize(network(), { bits: 4, ranges: 'mse' });
    const x = tf.randomNormal([4, 8, 8, 1], 0, 1, 'float32', 1);
    const loaded = await savedAndLoaded(q);
    expect(outputs(loaded, x)).toEqual(outputs(q, x));
    expect(codes(loaded)).toEqual(codes(q));
  });

  it('keeps the zeros and the counting of what hides weights', async () => {
    const model = dense([
      [1, 2],
      [3, 4],
    ]);
    parametrize(model.layers[0]!, { kernel: [hidesFirst()] });
    const q = await quantize(model, { scheme: 'affine', bits: 4 });
    expect(parametrizedWeights(q)[0]!.encoding()).toMatchObject({
      mask: Uint8Array.of(0, 1, 1, 1),
      nonzero: 3,
    });
  });

  it('may have recurrent layers, wrappers and nested models', async () => {
    const inner = tfl.sequential({
      layers: [tfl.layers.dense({ units: 3, inputShape: [2, 4] })],
    });
    const model = tfl.sequential({
      layers: [
        tfl.layers.embedding({ inputDim: 5, outputDim: 4, inputLength: 2 }),
        inner,
        tfl.layers.bidirectional({
          layer: tfl.layers.lstm({ units: 2, returnSequences: true }) as tfl.layers.RNN,
          mergeMode: 'concat',
        }),
        tfl.layers.timeDistributed({ layer: tfl.layers.dense({ units: 1 }) }),
      ],
    });
    const q = await quantize(model);
    expect(parametrizedWeights(q).map(({ weight }) => weight)).toEqual([
      'embeddings',
      'kernel',
      ...['kernel', 'recurrentKernel', 'kernel', 'recurrentKernel'],
      'kernel',
    ]);
    expect(codes(q).every(({ bits }) => bits === 8)).toBe(true);
    const x = tf.tensor2d([
      [0, 1],
      [2, 4],
    ]); // prettier-ignore
    expect(outputs(await savedAndLoaded(q), x)).toEqual(outputs(q, x));
  });

  it('leaves no tensor behind', async () => {
    const model = network();
    await expectNoLeaks(async () => {
      (await quantize(model, { bits: 4, ranges: 'mse' })).dispose();
      (await quantize(model, { type: 'float' })).dispose();
    });
    const masked = dense([[1], [2], [-1]]);
    parametrize(masked.layers[0]!, { kernel: [hiding([1, 0, 1])] });
    await expectNoLeaks(async () => {
      (await quantize(masked)).dispose();
      (await quantize(masked, { type: 'float' })).dispose();
    });
  });
});

/** A stand-in for a mask: the first weight is 0, and said to be. */
function hidesFirst(): WeightTransform {
  const keep = tf.tensor([0, 1, 1, 1], [2, 2]);
  return {
    getClassName: () => 'ThimbleHidesFirst',
    getConfig: () => ({}),
    build: () => null,
    apply: (weight: tf.Tensor) => tf.mul(weight, keep),
    bake: (weight: tf.Tensor) => tf.mul(weight, keep),
    encoding: () => ({ mask: Uint8Array.of(0, 1, 1, 1) }),
  };
}

registerTransform('ThimbleHidesFirst', hidesFirst);

describe('half precision', () => {
  // IEEE 754-2019, binary16.
  it.each([
    [1, 1],
    [1 + 2 ** -11, 1], // half way between 1 and 1 + 2^-10: to even
    [1 + 3 * 2 ** -11, 1 + 2 ** -9],
    [1 + 2 ** -11 + 2 ** -20, 1 + 2 ** -10],
    [-1 / 3, -0.333251953125],
    [65504, 65504],
    [2 ** -24, 2 ** -24], // the smallest subnormal
    [2 ** -25, 0],
    [3 * 2 ** -25, 2 ** -23],
    [0, 0],
  ])('of %d is %d', (value, half) => {
    expect(toHalf(value)).toBe(half);
  });

  it('is the nearest of its 2^16 values', () => {
    fc.assert(
      fc.property(fc.float({ min: -65504, max: 65504, noNaN: true }), (value) => {
        const half = toHalf(value);
        const exponent = Math.max(-14, Math.floor(Math.log2(Math.abs(value) || 1e-9)));
        expect(Math.abs(half - value)).toBeLessThanOrEqual(2 ** (exponent - 11));
        expect(toHalf(half)).toBe(half);
      }),
      { seed: 1 },
    );
  });

  it('is what kernels and biases are stored in', async () => {
    const q = await quantize(network(), { type: 'float' });
    expect(summarize(q).total.bits).toBe(16 * (36 + 36 + 192 + 11));
  });

  it('does not hold weights beyond 65504', async () => {
    await expect(quantize(dense([[1e5]]), { type: 'float' })).rejects.toThrow(/"dense" has 100000/);
  });
});

const nothing = () => [tf.zeros([0, 8, 8, 1]), tf.zeros([0, 3])] as const;
const other = () => [tf.ones([2, 3]), tf.ones([2, 3])] as const;

describe('refuses', () => {
  const quantized = (layer: string, transform: Parameters<typeof parametrize>[1]['kernel']) => {
    const model = network();
    parametrize(model.getLayer(layer), { kernel: transform! });
    return model;
  };
  it.each<[string, () => tfl.LayersModel, QuantizeOptions, new (m: string) => Error, RegExp]>([
    ['bits of 1', network, { bits: 1 }, OptionError, /bits must be a whole number from 2 to 16/],
    ['an unknown option', network, { bit: 8 } as never, OptionError, /unknown option "bit"/],
    ['a scheme', network, { scheme: 'odd' } as never, OptionError, /scheme must be/],
    ['a granularity', network, { granularity: 'row' } as never, OptionError, /granularity must be/],
    ['a group of 0', network, { granularity: { group: 0 } }, OptionError, /groupSize/],
    ['ranges', network, { ranges: 'kl' } as never, OptionError, /ranges must be/],
    ['a type', network, { type: 'int' } as never, OptionError, /type must be/],
    ['8-bit floats', network, { type: 'float', bits: 8 }, OptionError, /16 bits, not 8/],
    ['schemes of floats', network, { type: 'float', scheme: 'affine' }, OptionError, /scheme/],
    ['an unknown layer', network, { perLayer: { no: 4 } }, NoMatchError, /"no".*conv, depthwise/],
    ['bits of a layer', network, { perLayer: { conv: 1 } }, OptionError, /perLayer.conv/],
    [
      'equalising without folding',
      network,
      { equalize: true, foldBatchNorm: false },
      OptionError,
      /equalize needs/,
    ],
    ['rounding', network, { rounding: 'up' as never }, OptionError, /rounding must be/],
    ['settings of rounding', network, { rounding: { warmUp: 2 } }, OptionError, /rounding: warmUp/],
    ['other settings', network, { rounding: { rate: 2 } as never }, OptionError, /option "rate"/],
    ['rounding without data', network, { rounding: 'adaptive' }, OptionError, /needs calibration/],
    [
      'correction without data',
      network,
      { biasCorrection: true },
      OptionError,
      /needs calibration/,
    ],
    [
      'no data',
      network,
      { biasCorrection: true, calibration: nothing() },
      DataError,
      /no examples/,
    ],
    ['activations without data', network, { activations: 8 }, OptionError, /needs calibration/],
    [
      'bits of activations',
      network,
      { activations: 1, calibration: other() },
      OptionError,
      /activations.bits/,
    ],
    [
      'activations of halves',
      network,
      { type: 'float', activations: 8, calibration: other() },
      OptionError,
      /not quantised with type/,
    ],
    ['other data', network, { biasCorrection: true, calibration: other() }, ShapeError, /input/],
    [
      'rounding of halves',
      network,
      { type: 'float', rounding: 'adaptive', calibration: other() },
      OptionError,
      /rounding does not go/,
    ],
    ['an unknown target', network, { targets: 'no' }, NoMatchError, /target "no" matches no layer/],
    ['no targets', network, { targets: [] }, NoMatchError, /empty list/],
    ['NaN', () => dense([[Number.NaN]]), {}, NonFiniteError, /"dense" has NaN/],
    [
      'a model that is quantised',
      () => quantized('dense', [fakeQuant({ bits: 4 })]),
      {},
      UnsupportedError,
      /"kernel" of layer "dense" is quantised already \(affine, 4 bits\)/,
    ],
    ['half precision', () => quantized('conv', [float16()]), {}, UnsupportedError, /float, 16/],
    [
      'no kernels',
      () => tfl.sequential({ layers: [tfl.layers.reLU({ inputShape: [2] })] }),
      {},
      UnsupportedError,
      /no layer with a kernel/,
    ], // prettier-ignore
  ])('%s', async (_, make, options, kind, message) => {
    const model = make();
    const before = snapshot(model);
    const { numTensors } = tf.memory();
    const error = await quantize(model, options).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(kind);
    expect((error as Error).message).toMatch(message);
    expect(snapshot(model)).toEqual(before);
    expect(tf.memory().numTensors).toBe(numTensors);
  });

  it('to quantise twice', async () => {
    const q = await quantize(network());
    await expect(quantize(q)).rejects.toThrow(UnsupportedError);
  });

  it('options of fixedQuant', () => {
    expect(() => fixedQuant({ bits: 17 })).toThrow(OptionError);
    expect(() => fixedQuant({ bits: 8, groupSize: 2, perChannel: true })).toThrow(OptionError);
    expect(() => fixedQuant({ bits: 8, wide: true } as never)).toThrow(OptionError);
  });

  it('channels of a kernel that has none', async () => {
    const model = tfl.sequential({ layers: [new Scale({ name: 'scale', inputShape: [3] })] });
    await expect(quantize(model)).rejects.toThrow(/"kernel" of layer "scale" has no channels/);
    const q = await quantize(model, { granularity: 'tensor' });
    expect(codes(q)).toHaveLength(1);
  });
});

/** Multiplies each feature with a weight. */
class Scale extends tfl.layers.Layer {
  static className = 'TestScale';
  kernel: tfl.LayerVariable | undefined;
  override build([, size]: number[]): void {
    this.kernel = this.addWeight('kernel', [size!], 'float32', tfl.initializers.ones());
    this.built = true;
  }
  override computeOutputShape(shape: number[]): number[] {
    return shape;
  }
  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    return tf.mul([inputs].flat()[0]!, this.kernel!.read());
  }
}
tf.serialization.registerClass(Scale);
