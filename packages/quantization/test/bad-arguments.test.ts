import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { DataError, NonFiniteError, OptionError, ThimbleError } from '@thimble/base';
import {
  callLinks,
  fit,
  foldBatchNorm,
  parametrizedWeights,
  type WeightTransform,
  walkLayers,
} from '@thimble/core';
import type { ActivationQuantizer } from '@thimble/quantization';
import * as quantization from '@thimble/quantization';
import { useCpu } from '@thimble/testing';
import { describe, expect, it } from 'vitest';

useCpu();

type Call = (...args: unknown[]) => unknown;
const call = quantization as unknown as Record<string, Call>;
const model = () => tfl.sequential({ layers: [tfl.layers.dense({ units: 2, inputShape: [3] })] });
const calibration = { xs: tf.ones([2, 3]), ys: tf.ones([2, 2]) };

/** What takes a model first, with options that are right. */
const OF_MODELS: Record<string, object> = {
  activationPlaces: {},
  adaRound: { original: model(), calibration },
  binarized: {},
  calibrateActivations: { calibration },
  clusterWeights: { clusters: 2 },
  correctBias: { original: model(), calibration },
  equalize: {},
  equalizeReport: {},
  fuseBatchNorm: {},
  quantize: {},
  quantizeActivations: { input: quantization.fakeQuantActivations({ bits: 8 }) },
  quantizeAware: {},
  quantizeByBits: { dense: 4 },
  quantizeReport: {},
  sensitivityBits: { data: calibration },
};

/** What takes options only. */
const OF_OPTIONS = [
  ...['binaryActivation', 'binaryConnect', 'binaryConv2d', 'binaryDense', 'binaryWeights', 'bop'],
  ...['codebook', 'doReFa', 'eightBitGradients', 'fakeQuant', 'fakeQuantActivations', 'fixedPoint'],
  ...['fixedPointTraining', 'fixedQuant', 'flipRatio', 'float16', 'gradualBits', 'hashed'],
  ...[
    'incrementalQuantization',
    'lsq',
    'lsqPlus',
    'pact',
    'powersOfTwo',
    'quantizationAwareTraining',
  ],
  ...['ternaryWeights', 'thresholdWeights', 'trainedTernary', 'xnorConv2d', 'xnorDense'],
];

/** What the body throws, and a promise that it gives is rejected with. */
async function errorOf(body: () => unknown): Promise<unknown> {
  try {
    await body();
  } catch (error) {
    return error;
  }
  return undefined;
}

describe('what is no model and no options', () => {
  it.each(Object.keys(OF_MODELS))('%s says that it takes a model', async (name) => {
    for (const given of [null, undefined, 3]) {
      const error = await errorOf(() => call[name]!(given, OF_MODELS[name]));
      expect(error, `${name}(${given})`).toBeInstanceOf(ThimbleError);
      expect((error as Error).message).toContain(`${name}: `);
    }
  });

  it.each([...OF_OPTIONS, ...Object.keys(quantization.observers)])('%s takes an object', (name) => {
    const make = call[name] ?? (quantization.observers as unknown as Record<string, Call>)[name]!;
    for (const given of [null, 3, 'x']) {
      expect(() => make(given), `${name}(${given})`).toThrow(OptionError);
    }
  });

  it.each(['quantizeByBits', 'quantizeActivations', 'correctBias'])(
    '%s takes an object after the model',
    async (name) => {
      for (const given of [null, 3]) {
        expect(await errorOf(() => call[name]!(model(), given))).toBeInstanceOf(ThimbleError);
      }
    },
  );

  it('functions of numbers say what they take', () => {
    expect(() => call.kmeans!(null, { clusters: 2 })).toThrow(DataError);
    expect(() => call.kmeans!([1, 2], null)).toThrow(OptionError);
    expect(() => call.toFixedPoint!(tf.scalar(1), null)).toThrow(OptionError);
    const format = { integerBits: 0, fractionBits: 3 };
    expect(() => call.toFixedPoint!(tf.scalar(1), format)).toThrow(OptionError);
    expect(() => call.toDynamicTree!(null)).toThrow(DataError);
    expect(() => call.fromDynamicTree!(null)).toThrow(DataError);
    expect(() => call.fromDynamicTree!({ codes: new Uint8Array(1) })).toThrow(DataError);
    expect(() => call.eightBitState!({})).toThrow(OptionError);
  });

  it('dynamic tree numbers have no NaN and no infinities', () => {
    const { toDynamicTree } = quantization;
    expect(() => toDynamicTree(Float32Array.of(1, Number.NaN))).toThrow('value 1 is NaN');
    for (const bad of [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]) {
      expect(() => toDynamicTree(Float32Array.of(bad, 2))).toThrow(NonFiniteError);
    }
  });
});

describe('what fails at the second layer leaves the first as it was', () => {
  const { clusterWeights, fakeQuant, fakeQuantActivations, fuseBatchNorm, hashed } = quantization;
  const { incrementalQuantization, quantizeAware } = quantization;
  const stack = (second: number = 300) =>
    tfl.sequential({
      layers: [
        tfl.layers.dense({ units: 4, inputShape: [3] }),
        tfl.layers.dense({ units: second }),
        tfl.layers.batchNormalization(),
      ],
    });
  const shownOf = (of: tfl.LayersModel) => [
    of.weights.map(({ originalName }) => originalName),
    parametrizedWeights(of).map(({ links }) => links.length),
    walkLayers(of).map((layer) => callLinks(layer).length),
  ];
  const withNaN = () => {
    const made = stack(2);
    made.layers[1]!.setWeights([tf.fill([4, 2], Number.NaN), tf.zeros([2])]);
    return made;
  };
  const data = { xs: tf.ones([2, 3]), ys: tf.ones([2, 2]) };
  const loss = 'meanSquaredError';

  it.each<[string, () => Promise<tfl.LayersModel>, (model: tfl.LayersModel) => unknown]>([
    [
      'more codebooks than can be numbered',
      async () => stack(),
      (model) => clusterWeights(model, { clusters: 65536, perChannel: true }),
    ],
    [
      'NaN where powers of two are to be found',
      async () => withNaN(),
      (model) => {
        const callbacks = [incrementalQuantization()];
        return fit(model, data, { loss, progress: false, callbacks });
      },
    ],
    [
      'no quantiser of activations',
      async () => await foldBatchNorm(stack()),
      (model) => {
        const input = fakeQuant({ bits: 8 }) as never;
        const [, last] = model.layers;
        return quantizeAware(model, { perLayer: { [last!.name]: { activations: { input } } } });
      },
    ],
    [
      'a second source of a kernel',
      async () => {
        const made = await foldBatchNorm(stack());
        clusterWeights(made, { clusters: 2, targets: made.layers[1]!.name });
        return made;
      },
      (model) => quantizeAware(model, { weights: hashed({ ratio: 0.5 }) as WeightTransform }),
    ],
    [
      'an output in front of fused batch normalisation',
      () => fuseBatchNorm(stack()),
      (model) => {
        const quantizer = fakeQuantActivations({ bits: 8 }) as ActivationQuantizer;
        return quantizeAware(model, { activations: { input: quantizer, output: quantizer } });
      },
    ],
  ])('%s', async (_, make, change) => {
    const made = await make();
    const before = shownOf(made);
    expect(await errorOf(() => change(made))).toBeInstanceOf(ThimbleError);
    expect(shownOf(made)).toEqual(before);
  });
});
