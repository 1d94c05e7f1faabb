// Trained in few bits: the depthwise-separable network on distorted MNIST with learned steps in 4, 3 and 2 bits, LSQ+, PACT and
// DoReFa, ternary weights, and uniform, clustered and power-of-two weights of as many bits; each from the same float
// network, trained as long, beside the float network trained as long. At the end of each training the statistics of batch
// normalisation are made anew: weights that swing between two values leave the moving ones behind (Nagel et al.,
// "Overcoming Oscillations in Quantization-Aware Training", 2022, section 4.1).
import { parseArgs } from 'node:util';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  callbacks,
  clusterWeights,
  doReFa,
  type FitOptions,
  fakeQuant,
  fit,
  incrementalQuantization,
  lsq,
  lsqPlus,
  pact,
  parametrize,
  type QuantizeAwareOptions,
  quantizeAware,
  recalibrateBatchNorm,
  summarize,
  ternaryWeights,
  trainedTernary,
  type WeightTransform,
} from 'thimble';
import type { Row } from 'thimble-examples/shared/table';
import { SEPARABLE, separableNetwork } from './separable-network.ts';
import { beginStudy, percent, realMnist, testErrors, training } from './study.ts';

const { values } = parseArgs({
  options: { output: { type: 'string' }, tune: { type: 'string', default: '8' } },
});
const TUNE = Number(values.tune);
/** For what is trained on. */
const TUNE_RATE = 3e-3;
/** The layers that keep 8 bits, as in the paper of LSQ. */
const ENDS = ['first', 'output'];
const INNER = /^(depthwise|pointwise)\d$/;

const study = await beginStudy('few-bits', values.output);
const { train: all, validation, test } = await realMnist(true);
const train = all.take(SEPARABLE.images);
const trained = (seed: number): Promise<LayersModel> => separableNetwork(all, study.output, seed);

interface Outcome {
  errors: number;
  validationErrors: number;
  bytes: number;
}

async function outcome(model: LayersModel): Promise<Outcome> {
  const { bytes } = summarize(model).total;
  const validationErrors = await testErrors(model, validation);
  return { errors: await testErrors(model, test), validationErrors, bytes };
}

/** The float network changed by `change` and trained on. */
const trainedOn =
  (change: (model: LayersModel) => FitOptions['callbacks'] | undefined) =>
  async (seed: number): Promise<Outcome> => {
    const model = await trained(seed);
    const more = change(model);
    await fit(model, train, {
      ...training(seed + 100, TUNE, TUNE_RATE),
      ...(more ? { callbacks: more } : {}),
    });
    await recalibrateBatchNorm(model, train);
    const result = await outcome(model);
    model.dispose();
    return result;
  };

type Grid = Pick<QuantizeAwareOptions, 'weights' | 'activations'>;

/** Learned steps for the weights and, if told, for what the layers get. */
const steps =
  (activations: boolean) =>
  (bits: number): Grid => ({
    weights: lsq({ bits, perChannel: true }),
    activations: activations && lsq({ bits }),
  });

/** So many bits, 8 at both ends. */
const inBits = (bits: number, layer: (bits: number) => Grid) => (model: LayersModel) => {
  // The image is not negative either.
  const perLayer = Object.fromEntries(ENDS.map((name) => [name, layer(8)]));
  // Batch normalisation stays a layer of its own, as in the paper.
  const ignore = model.layers.map(({ name }) => name).filter((name) => name.endsWith('-norm'));
  quantizeAware(model, { ...layer(bits), perLayer, ignore });
  return layer(bits).activations ? [callbacks.quantizationAwareTraining()] : undefined;
};
const learnedSteps = (bits: number, activations: boolean) => inBits(bits, steps(activations));

/** A transform for all kernels but those at the ends. */
const inner = (make: () => WeightTransform) => (model: LayersModel) => {
  for (const layer of model.layers.filter(({ name }) => INNER.test(name))) {
    const weight = layer.getClassName() === 'DepthwiseConv2D' ? 'depthwiseKernel' : 'kernel';
    parametrize(layer, { [weight]: [make()] });
  }
  return undefined;
};

const uniform = (bits: number) => () =>
  fakeQuant({ bits, symmetric: true, narrowRange: true, perChannel: true });

const METHODS: Record<string, (seed: number) => Promise<Outcome>> = {
  float32: async (seed) => outcome(await trained(seed)),
  'float32, trained on': trainedOn(() => undefined),
  'LSQ, 4 bits, weights and activations': trainedOn(learnedSteps(4, true)),
  'LSQ, 3 bits, weights and activations': trainedOn(learnedSteps(3, true)),
  'LSQ, 2 bits, weights and activations': trainedOn(learnedSteps(2, true)),
  'LSQ, 2 bits, weights': trainedOn(learnedSteps(2, false)),
  'LSQ+, 4 bits, weights and activations': trainedOn(
    inBits(4, (bits) => ({
      weights: lsq({ bits, perChannel: true }),
      activations: lsqPlus({ bits }),
    })),
  ),
  'PACT, weights by DoReFa, 4 bits': trainedOn(
    inBits(4, (bits) => ({ weights: doReFa({ bits }), activations: pact({ bits }) })),
  ),
  'DoReFa, 4 bits, weights and activations': trainedOn(
    inBits(4, (bits) => ({ weights: doReFa({ bits }), activations: doReFa({ bits }) })),
  ),
  'own range (fakeQuant), 2 bits, weights': trainedOn(inner(uniform(2))),
  'ternary (TWN)': trainedOn(inner(() => ternaryWeights())),
  'ternary (TTQ)': trainedOn(inner(() => trainedTernary())),
  'LSQ, 4 bits, weights': trainedOn(learnedSteps(4, false)),
  'own range (fakeQuant), 4 bits, weights': trainedOn(inner(uniform(4))),
  'codebook, 16 values': trainedOn((model) => {
    clusterWeights(model, { clusters: 16, targets: INNER });
    return undefined;
  }),
  'INQ, 4 bits': trainedOn(() => [
    incrementalQuantization({
      bits: 4,
      epochsPerPortion: Math.max(1, Math.floor(TUNE / 4)),
      targets: INNER,
    }),
  ]),
};

/** Where a difference of half a point is in question: a float network varies by as much from seed to seed. */
const CLOSE = ['float32', 'float32, trained on', 'LSQ, 2 bits, weights'];
const NINE = [0, 1, 2, 3, 4, 5, 6, 7, 8];

const settings = { ...SEPARABLE, tune: TUNE, tuneRate: TUNE_RATE, statistics: 'made anew' };
const results = await study.compare(METHODS, settings, (method) =>
  CLOSE.includes(method) ? NINE : study.seeds,
);
const rows: Row[] = results.map(({ method, outcomes }) => [
  method,
  outcomes[0]!.bytes.toLocaleString('en-US'),
  percent(outcomes.map(({ errors }) => errors)),
  outcomes.map(({ errors }) => errors).join(', '),
]);
await study.finish([['weights', 'bytes', 'test error %', 'errors'], ...rows], {
  data: { source: 'distorted MNIST', train: train.size, test: test.size },
  settings,
  results,
});
