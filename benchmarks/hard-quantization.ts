// Where quantisation after training is hard: a depthwise-separable network with batch normalisation on
// distorted MNIST, one range per tensor for weights and for activations, in 8, 6, 5 and 4 bits; and what
// equalisation, bias correction, a range per channel and AdaRound win back. Then the same network with channels of very
// different sizes, which compute the same.
import { parseArgs } from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { foldBatchNorm, type QuantizeOptions, quantize, Random, summarize } from 'thimble';
import type { Row } from 'thimble-examples/shared/table';
import { SEPARABLE, separableNetwork } from './separable-network.ts';
import { beginStudy, percent, realMnist, testErrors } from './study.ts';

const { values } = parseArgs({
  options: {
    output: { type: 'string' },
    iterations: { type: 'string', default: '1000' },
  },
});
const ITERATIONS = Number(values.iterations);
/** Calibration images. */
const EXAMPLES = 500;
/** Channels are made up to so many times larger and smaller. */
const SPREAD = 16;

const study = await beginStudy('hard-quantization', values.output);
const { train, test } = await realMnist(true);
const trained = (seed: number): Promise<LayersModel> => separableNetwork(train, study.output, seed);

interface Outcome {
  errors: number;
  bytes: number;
  /** Of the quantisation alone. */
  seconds: number;
}

async function measured(model: LayersModel, begun: number): Promise<Outcome> {
  const seconds = (performance.now() - begun) / 1000;
  const { bytes } = summarize(model).total;
  const errors = await testErrors(model, test);
  return { errors, bytes, seconds };
}

/**
 * The network of a seed with every channel between two layers larger or smaller by a factor drawn for it, and the weights
 * that read it smaller or larger: a ReLU passes a positive factor on, so it computes the same.
 */
async function uneven(seed: number): Promise<LayersModel> {
  const model = await trained(seed);
  const random = new Random(seed, 'uneven channels');
  const weighted = model.layers.filter(({ weights }) => weights.length > 0);
  for (const [i, norm] of weighted.entries()) {
    if (!norm.name.endsWith('-norm')) continue;
    const [gamma, beta, ...statistics] = norm.getWeights();
    const logs = Float32Array.from({ length: gamma!.size }, () => random.uniform(-1, 1));
    const factors = tf.pow(SPREAD, tf.tensor1d(logs));
    norm.setWeights([tf.mul(gamma!, factors), tf.mul(beta!, factors), ...statistics]);
    const reader = weighted[i + 1]!;
    const [kernel, ...rest] = reader.getWeights();
    const shape = reader.name === 'output' ? [-1, 1] : [1, 1, -1, 1]; // inputs are the last axis but one
    reader.setWeights([tf.div(kernel!, tf.reshape(factors, shape)), ...rest]);
  }
  return model;
}

type Make = (seed: number) => Promise<LayersModel>;

async function inFloat(seed: number, make: Make = trained): Promise<Outcome> {
  const model = await make(seed);
  const folded = await foldBatchNorm(model);
  const outcome = await measured(folded, performance.now());
  model.dispose();
  folded.dispose();
  return outcome;
}

async function quantized(
  seed: number,
  options: QuantizeOptions,
  make: Make = trained,
): Promise<Outcome> {
  const model = await make(seed);
  const begun = performance.now();
  const q = await quantize(model, {
    calibration: train,
    examples: EXAMPLES,
    progress: false,
    ...options,
  });
  const outcome = await measured(q, begun);
  model.dispose();
  q.dispose();
  return outcome;
}

const four = { bits: 4, granularity: 'channel', ranges: 'mse' } as const;
const rounding = { iterations: ITERATIONS };

/** The rows of one number of bits with a range per tensor, and one with a range per channel. */
function perTensor(bits: number): Record<string, QuantizeOptions> {
  const tensor = { bits, activations: 8, scheme: 'affine', granularity: 'tensor' } as const;
  const name = `${bits} bits per tensor`;
  return {
    [name]: tensor,
    [`${name}, activations in float`]: { ...tensor, activations: false },
    [`${name}, biases corrected`]: { ...tensor, biasCorrection: true },
    [`${name}, equalised`]: { ...tensor, equalize: true },
    [`${name}, equalised, biases corrected`]: { ...tensor, equalize: true, biasCorrection: true },
    [`${name}, equalised, biases absorbed and corrected`]: {
      ...tensor,
      equalize: { absorbBiases: true },
      biasCorrection: true,
    },
    [`${bits} bits per channel`]: { ...tensor, granularity: 'channel' },
  };
}

const RUNS: Record<string, QuantizeOptions> = {
  ...perTensor(8),
  ...perTensor(6),
  ...perTensor(5),
  ...perTensor(4),
  '4 bits per channel, nearest': four,
  '4 bits per channel, biases corrected': { ...four, biasCorrection: true },
  '4 bits per channel, AdaRound': { ...four, rounding },
  '4 bits per channel, AdaRound, biases corrected': { ...four, rounding, biasCorrection: true },
};
const run = (options: QuantizeOptions, make?: Make) => (seed: number) =>
  quantized(seed, options, make);
const METHODS: Record<string, (seed: number) => Promise<Outcome>> = {
  float32: (seed) => inFloat(seed),
  ...Object.fromEntries(Object.entries(RUNS).map(([name, options]) => [name, run(options)])),
  'uneven channels, float32': (seed) => inFloat(seed, uneven),
  ...Object.fromEntries(
    Object.entries(perTensor(8)).map(([name, options]) => [
      `uneven channels, ${name}`,
      run(options, uneven),
    ]),
  ),
};

const settings = { ...SEPARABLE, examples: EXAMPLES };
const results = await study.compare(METHODS, { ...settings, ITERATIONS });
const rows: Row[] = results.map(({ method, outcomes }) => [
  method,
  outcomes[0]!.bytes.toLocaleString('en-US'),
  percent(outcomes.map(({ errors }) => errors)),
  Math.max(...outcomes.map(({ seconds }) => seconds)).toFixed(1),
]);
await study.finish(
  [['weights; activations in 8 bits', 'bytes', 'test error %', 'seconds'], ...rows],
  {
    data: { source: 'distorted MNIST', train: SEPARABLE.images, test: test.size },
    settings: { ...settings, iterations: ITERATIONS, spread: SPREAD },
    results,
  },
);
