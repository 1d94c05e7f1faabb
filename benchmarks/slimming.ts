// Network Slimming (Liu et al., 2017, table 1) on real MNIST: a perceptron 784-500-300-10 with batch
// normalisation loses 80 % of each hidden layer and becomes 784-100-60-10, beside a random choice, the L1
// norm and the dense network; and what the clock says of the two sizes.
import { parseArgs } from 'node:util';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  type Criterion,
  criteria,
  type FitOptions,
  fit,
  removeChannels,
  schedules,
  slimming,
  withSeed,
} from 'thimble';
import type { Row } from 'thimble-examples/shared/table';
import { median } from './statistics.ts';
import { beginStudy, percent, realMnist, testErrors } from './study.ts';

const EPOCHS = 30;
const RATIO = 0.8;
/** Of the sum of |gamma|; the paper's 1e-4 is for VGG. */
const STRENGTH = 1e-4;
const DECAY = 1e-4;

const { values } = parseArgs({ options: { output: { type: 'string' } } });
const study = await beginStudy('network-slimming', values.output);
const { train, test } = await realMnist();

function perceptron(seed: number): tfl.Sequential {
  const { batchNormalization, dense, flatten, activation } = tfl.layers;
  const l2 = () => ({ kernelRegularizer: tfl.regularizers.l2({ l2: DECAY / 2 }) });
  const hidden = (name: string, units: number) => [
    dense({ name, units, useBias: false, kernelInitializer: 'heNormal', ...l2() }),
    batchNormalization({ name: `${name}-norm` }),
    activation({ activation: 'relu' }),
  ];
  return withSeed(seed, () =>
    tfl.sequential({
      layers: [
        flatten({ inputShape: [28, 28, 1] }),
        ...hidden('fc1', 500),
        ...hidden('fc2', 300),
        dense({ name: 'output', units: 10, activation: 'softmax', ...l2() }),
      ],
    }),
  );
}

/** SGD with Nesterov momentum, a tenth of the rate after a third and two thirds of the epochs. */
const training = (seed: number): FitOptions => ({
  epochs: EPOCHS,
  batchSize: 256,
  optimizer: tf.train.momentum(0.1, 0.9, true),
  learningRate: schedules.multiStep(0.1, {
    milestones: [EPOCHS / 3, (2 * EPOCHS) / 3],
    factors: 0.1,
  }),
  loss: 'categoricalCrossentropy',
  seed,
  progress: false,
});

/** Multiplications between units: what the paper counts, biases and normalisation apart. */
function weightsOf(model: tfl.LayersModel): number {
  return model.layers
    .flatMap(({ weights }) => weights)
    .filter(({ originalName }) => originalName.endsWith('kernel'))
    .reduce((sum, { shape }) => sum + (shape[0] ?? 0) * (shape[1] ?? 0), 0);
}

async function trained(seed: number, slim: boolean): Promise<tfl.LayersModel> {
  const model = perceptron(seed);
  if (slim) slimming(model, { strength: STRENGTH });
  const checkpoint = `${study.output}/${slim ? 'slim' : 'plain'}-${seed}.checkpoint`;
  await fit(model, train, { ...training(seed), checkpoint });
  return model;
}

interface Outcome {
  before: number;
  after: number;
  weights: number;
}

async function pruned(seed: number, slim: boolean, criterion: Criterion): Promise<Outcome> {
  const model = await trained(seed, slim);
  const smaller = await removeChannels(model, {
    criterion,
    perLayer: { fc1: RATIO, fc2: RATIO },
    seed,
  });
  const before = await testErrors(smaller, test);
  await fit(smaller, train, training(seed + 100));
  return { before, after: await testErrors(smaller, test), weights: weightsOf(smaller) };
}

const METHODS: Record<string, (seed: number) => Promise<Outcome>> = {
  dense: async (seed) => {
    const model = await trained(seed, false);
    const errors = await testErrors(model, test);
    return { before: errors, after: errors, weights: weightsOf(model) };
  },
  'network slimming': (seed) => pruned(seed, true, criteria.batchNormScale()),
  'scale, without its penalty': (seed) => pruned(seed, false, criteria.batchNormScale()),
  'L1 norm': (seed) => pruned(seed, false, criteria.magnitude({ norm: 'l1' })),
  random: (seed) => pruned(seed, false, criteria.random()),
};

/** Milliseconds of a prediction, medians of interleaved rounds, from models that were saved and loaded. */
async function clock() {
  const full = perceptron(0);
  const smaller = await removeChannels(full, { perLayer: { fc1: RATIO, fc2: RATIO } });
  const models: Record<string, tfl.LayersModel> = {};
  for (const [name, model] of Object.entries({ full, smaller })) {
    let saved: tf.io.ModelArtifacts | undefined;
    await model.save(
      tf.io.withSaveHandler(async (artifacts) => {
        saved = artifacts;
        return { modelArtifactsInfo: { dateSaved: new Date(0), modelTopologyType: 'JSON' } };
      }),
    );
    models[name] = await tfl.loadLayersModel(tf.io.fromMemory(saved!));
  }
  const times: Record<string, Record<string, number>> = {};
  for (const batch of [1, 256]) {
    const { images } = test.batch(Array.from({ length: batch }, (_, i) => i));
    const samples: Record<string, number[]> = { full: [], smaller: [] };
    for (let round = 0; round < 200; round++) {
      for (const [name, model] of Object.entries(models)) {
        const begun = performance.now();
        tf.tidy(() => (model.predict(images) as tf.Tensor).dataSync());
        if (round >= 20) samples[name]!.push(performance.now() - begun);
      }
    }
    images.dispose();
    times[`batch ${batch}`] = {
      full: median(samples.full!),
      smaller: median(samples.smaller!),
    };
  }
  return times;
}

const results = await study.compare(METHODS, [EPOCHS, RATIO, STRENGTH, DECAY]);
const milliseconds = await clock();
const rows: Row[] = results.map(({ method, outcomes }) => [
  method,
  outcomes[0]!.weights.toLocaleString('en-US'),
  percent(outcomes.map(({ before }) => before)),
  percent(outcomes.map(({ after }) => after)),
]);
await study.finish([['method', 'weights', 'test error before training on %', 'after %'], ...rows], {
  data: { source: 'MNIST', train: train.size, test: test.size },
  settings: { epochs: EPOCHS, ratio: RATIO, strength: STRENGTH, decay: DECAY },
  results,
  milliseconds,
});
console.log(JSON.stringify(milliseconds));
