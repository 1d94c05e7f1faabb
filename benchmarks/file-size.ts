// How small the files of LeNet-300-100 and LeNet-5 become on real MNIST. First Deep Compression's own pipeline: trained
// by SGD with momentum and L2 as in Caffe, pruned to its shares, clustered to its bits, gaps and Huffman codes. Then
// ours goes on from the pruned network: pruned further, clustered to fewer values, biases in 8 bits, arithmetic
// codes. Errors are those of the network that is read back from the file; ratios are against all weights and
// biases as float32, header included.
import { mkdir, writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  clusterWeights,
  copyValues,
  criteria,
  type EncodeOptions,
  encodeWithReport,
  type FitOptions,
  fakeQuant,
  fit,
  iterativePruning,
  layerFromConfig,
  load,
  parametrize,
  schedules,
} from 'thimble';
import { network } from 'thimble-examples/shared/networks';
import type { Row } from 'thimble-examples/shared/table';
import { fractions, type Pruned } from './han-pruning.ts';
import { beginStudy, percent, realMnist, testErrors, training } from './study.ts';

/** How a network is pruned, then clustered and trained on. */
interface Step {
  /** Share of each kernel that is left. */
  left: Record<string, number>;
  /** Rounds of pruning, an epoch each, and epochs after the last. */
  rounds: number;
  lastEpochs: number;
  /** Shared values of each kernel, and epochs of training them. */
  clusters: Record<string, number>;
  tuneEpochs: number;
}

interface Plan {
  /** Of SGD while there is training and pruning, and for what is trained after clustering. */
  rate: number;
  tuneRate: number;
  denseEpochs: number;
  /** Tables 2 and 3 of Han, Mao, Dally, "Deep Compression", 2016. */
  deepCompression: Step;
  ours: Step;
}

const PLANS: Record<Pruned, Plan> = {
  lenet300: {
    rate: 0.05,
    tuneRate: 0.005,
    denseEpochs: 12,
    deepCompression: {
      left: { fc1: 0.08, fc2: 0.09, output: 0.26 },
      rounds: 4,
      lastEpochs: 6,
      clusters: { fc1: 64, fc2: 64, output: 64 },
      tuneEpochs: 2,
    },
    ours: {
      left: { fc1: 0.05, fc2: 0.08, output: 0.26 },
      rounds: 1,
      lastEpochs: 14,
      clusters: { fc1: 15, fc2: 15, output: 15 },
      tuneEpochs: 3,
    },
  },
  lenet5: {
    rate: 0.02,
    tuneRate: 0.002,
    denseEpochs: 6,
    deepCompression: {
      left: { conv1: 0.66, conv2: 0.12, fc1: 0.08, output: 0.19 },
      rounds: 3,
      lastEpochs: 3,
      clusters: { conv1: 256, conv2: 256, fc1: 32, output: 32 },
      tuneEpochs: 1,
    },
    ours: {
      left: { conv1: 0.5, conv2: 0.09, fc1: 0.014, output: 0.15 },
      rounds: 3,
      lastEpochs: 5,
      clusters: { conv1: 31, conv2: 15, fc1: 15, output: 15 },
      tuneEpochs: 2,
    },
  },
};
const MOMENTUM = 0.9;
/** lambda in `lambda sum w^2` over the kernels: half of Caffe's weight decay of 0.0005. */
const DECAY = 2.5e-4;
const BATCH = 64;
const BIAS_BITS = 8;

const { values } = parseArgs({
  options: {
    net: { type: 'string', default: 'lenet300' },
    /** A share of all epochs, to try it out. */
    scale: { type: 'string', default: '1' },
    output: { type: 'string' },
  },
});
const net = values.net as Pruned;
const plan = PLANS[net];
const scale = Number(values.scale);
const name = net === 'lenet300' ? 'file-size' : 'file-size-lenet5';
const study = await beginStudy(name, values.output);
const { train, validation, test } = await realMnist();
const files = `${study.output}/files`;
await mkdir(files, { recursive: true });

const scaled = (epochs: number): number => Math.max(1, Math.round(epochs * scale));

function trainingBySgd(seed: number, epochs: number, rate: number): FitOptions {
  const optimizer = tf.train.momentum(rate, MOMENTUM);
  return { ...training(seed, epochs, rate), batchSize: BATCH, optimizer };
}

const checkpoint = (step: string, seed: number): string =>
  `${study.output}/${step}-${net}-${seed}.checkpoint`;

/** Trained, with kernels that are drawn towards 0. Once; then read from its checkpoint. */
async function dense(seed: number): Promise<LayersModel> {
  const plain = network(net, seed);
  const config = JSON.parse(JSON.stringify(plain.getConfig()));
  for (const layer of config.layers) {
    if (!('kernelRegularizer' in layer.config)) continue;
    layer.config.kernelRegularizer = { className: 'L1L2', config: { l1: 0, l2: DECAY } };
  }
  const model = layerFromConfig(plain.getClassName(), config) as LayersModel;
  copyValues(plain, model);
  plain.dispose();
  const options = trainingBySgd(seed, scaled(plan.denseEpochs), plan.rate);
  await fit(model, train, { ...options, checkpoint: checkpoint('dense', seed) });
  return model;
}

/** Prunes in rounds to shares of the whole; of a network that is pruned already, rounds above that change nothing. */
async function pruneTo(
  model: LayersModel,
  { left, rounds: most, lastEpochs }: Step,
  seed: number,
  path: string,
): Promise<LayersModel> {
  const rounds = scaled(most);
  const pruning = iterativePruning({
    rounds,
    ...fractions(0.5, left, rounds),
    fineTuneEpochs: 1,
    criterion: criteria.magnitude(),
    granularity: 'element',
    seed,
  });
  const epochs = rounds - 1 + scaled(lastEpochs);
  await fit(model, train, {
    ...trainingBySgd(seed, epochs, plan.rate),
    learningRate: schedules.cosine(plan.rate, { hold: rounds - 1 }),
    callbacks: [pruning],
    checkpoint: path,
  });
  return model;
}

const pruned = async (seed: number): Promise<LayersModel> =>
  pruneTo(
    await dense(seed),
    plan.deepCompression,
    seed + 100,
    checkpoint('deep-compression', seed),
  );

const prunedFurther = async (seed: number): Promise<LayersModel> =>
  pruneTo(await pruned(seed), plan.ours, seed + 200, checkpoint('ours', seed));

/** Gives the kernels of a pruned network shared values, the biases fewer bits, and trains on. */
async function clustered(
  model: LayersModel,
  { clusters, tuneEpochs }: Step,
  biasBits: number | undefined,
  seed: number,
): Promise<LayersModel> {
  for (const [layerName, count] of Object.entries(clusters)) {
    const layer = model.getLayer(layerName);
    clusterWeights(layer, { clusters: count });
    if (biasBits !== undefined) {
      parametrize(layer, { bias: [fakeQuant({ bits: biasBits, symmetric: true })] });
    }
  }
  await fit(model, train, trainingBySgd(seed, scaled(tuneEpochs), plan.tuneRate));
  return model;
}

interface Outcome {
  errors: number;
  bytes: number;
  header: number;
  ratio: number;
  weights: { name: string; layout: string; nonzero: number; fillers: number; bytes: number }[];
}

/** The file, and the errors of what is read back from it. */
async function outcome(
  model: LayersModel,
  name: string,
  seed: number,
  options: EncodeOptions,
): Promise<Outcome> {
  const { bytes, header, ratio, weights } = await encodeWithReport(model, options);
  await writeFile(`${files}/${name.replace(/\W+/g, '-')}-${seed}.thimble`, bytes);
  const again = await load(bytes);
  const errors = await testErrors(again, test);
  again.dispose();
  return {
    errors,
    bytes: bytes.length,
    header,
    ratio: Number(ratio.toFixed(2)),
    weights: weights.map(({ name: weight, layout, nonzero, fillers, bytes: taken }) => ({
      name: weight,
      layout,
      nonzero,
      fillers,
      bytes: taken,
    })),
  };
}

/** Every step is trained once for all ways to write it. */
async function outcomes(seed: number): Promise<Record<string, Outcome>> {
  const { deepCompression, ours } = plan;
  const found: Record<string, Outcome> = {};
  const write = async (model: LayersModel, ways: Record<string, EncodeOptions>): Promise<void> => {
    for (const [way, options] of Object.entries(ways)) {
      found[way] = await outcome(model, `${net}, ${way}`, seed, options);
    }
    model.dispose();
  };
  await write(await dense(seed), { 'dense, float32': { entropy: 'none' } });
  const deep = await clustered(await pruned(seed), deepCompression, undefined, seed + 300);
  await write(deep, {
    'Deep Compression, no entropy code': { entropy: 'none', indexBits: 5 },
    'Deep Compression, Huffman, 5 bits an index': { entropy: 'huffman', indexBits: 5 },
    'Deep Compression, Huffman': { entropy: 'huffman' },
    'Deep Compression, arithmetic': {},
  });
  await write(await clustered(await prunedFurther(seed), ours, BIAS_BITS, seed + 400), {
    'ours, Huffman': { entropy: 'huffman' },
    'ours, arithmetic': {},
    'ours, arithmetic, lambda 0.003': { lambda: 0.003 },
    'ours, arithmetic, lambda 0.01': { lambda: 0.01 },
  });
  return found;
}

const settings = [plan, MOMENTUM, DECAY, BATCH, BIAS_BITS, scale];
const methods: Record<string, Outcome[]> = {};
for (const seed of study.seeds) {
  const found = await study.once(`${net}, seed ${seed}`, settings, () => outcomes(seed));
  for (const [method, result] of Object.entries(found)) {
    methods[method] = [...(methods[method] ?? []), result];
  }
}

const results = Object.entries(methods).map(([method, found]) => ({ method, outcomes: found }));
const rows: Row[] = results.map(({ method, outcomes: found }) => [
  method,
  found.map(({ bytes }) => bytes).join(', '),
  found.map(({ ratio }) => ratio.toFixed(1)).join(', '),
  percent(found.map(({ errors }) => errors)),
  found.map(({ errors }) => errors).join(', '),
]);
await study.finish(
  [[`${net}, file`, 'bytes', 'times smaller than float32', 'test error %', 'errors'], ...rows],
  {
    data: { source: 'MNIST', train: train.size, validation: validation.size, test: test.size },
    settings: {
      net,
      plan,
      momentum: MOMENTUM,
      decay: DECAY,
      batch: BATCH,
      biasBits: BIAS_BITS,
      scale,
    },
    results,
  },
);
