// Every structured criterion at equal multiply-accumulates on distorted MNIST, real digits made harder: a quarter
// of the channels of every layer goes; the error before fine-tuning, as it is and with the statistics of batch
// normalisation made anew, and after it; beside random and beside L1.
import { parseArgs } from 'node:util';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  type Compensation,
  type Criterion,
  criteria,
  fit,
  recalibrateBatchNorm,
  removeChannels,
  slimming,
  summarize,
  withSeed,
} from 'thimble';
import type { Row } from 'thimble-examples/shared/table';
import { beginStudy, percent, realMnist, testErrors, training } from './study.ts';

/** Images to train on; all of them would take three times as long. */
const IMAGES = 20_000;
const EPOCHS = 8;
const FINE_TUNE = 1;
const RATIO = 0.25;
const EXAMPLES = 1000;
const RATE = 2e-3;
const TUNING_RATE = 1e-3;

const { values } = parseArgs({ options: { output: { type: 'string' } } });
const study = await beginStudy('structured-pruning', values.output);
const { train: all, test } = await realMnist(true);
const train = all.take(IMAGES);

function network(seed: number): tfl.Sequential {
  const { activation, batchNormalization, conv2d, dense, globalAveragePooling2d, maxPooling2d } =
    tfl.layers;
  const block = (name: string, filters: number, kernelSize: number, more: object = {}) => [
    conv2d({ name, filters, kernelSize, padding: 'same', kernelInitializer: 'heNormal', ...more }),
    // A short memory: with tfjs's 0.99 the statistics would be stale after the few steps of fine-tuning.
    batchNormalization({ name: `${name}-norm`, momentum: 0.9 }),
    activation({ name: `${name}-relu`, activation: 'relu' }),
  ];
  return withSeed(seed, () =>
    tfl.sequential({
      layers: [
        ...block('conv1', 16, 5, { strides: 2, inputShape: [28, 28, 1] }),
        ...block('conv2', 32, 3),
        maxPooling2d({ poolSize: 2 }),
        ...block('conv3', 64, 3),
        globalAveragePooling2d({}),
        dense({ name: 'output', units: 10, activation: 'softmax' }),
      ],
    }),
  );
}

/** The trained network of a seed; with Network Slimming's penalty where its criterion is to have it. */
async function trained(seed: number, slim: boolean): Promise<tfl.LayersModel> {
  const model = network(seed);
  if (slim) slimming(model, { strength: 1e-3 });
  const checkpoint = `${study.output}/${slim ? 'slim' : 'plain'}-${seed}.checkpoint`;
  await fit(model, train, { ...training(seed, EPOCHS, RATE), checkpoint });
  return model;
}

interface Outcome {
  /** Errors with the statistics of batch normalisation as they were before the removal. */
  before: number;
  /** Errors with those of the smaller network. */
  recalibrated: number;
  after: number;
  macs: number;
  params: number;
  /** Seconds that scoring and removing took. */
  seconds: number;
}

async function pruned(
  seed: number,
  criterion: Criterion,
  compensation: Compensation = 'none',
  slim = false,
): Promise<Outcome> {
  const model = await trained(seed, slim);
  const begun = performance.now();
  const smaller = await removeChannels(model, {
    criterion,
    ratio: RATIO,
    compensation,
    data: train,
    examples: EXAMPLES,
    loss: 'categoricalCrossentropy',
    seed,
  });
  const seconds = (performance.now() - begun) / 1000;
  const figures = await measured(smaller, seed);
  model.dispose();
  smaller.dispose();
  return { ...figures, seconds };
}

/** The errors of a network as it is, recalibrated, and trained on. */
async function measured(model: tfl.LayersModel, seed: number): Promise<Omit<Outcome, 'seconds'>> {
  const before = await testErrors(model, test);
  await recalibrateBatchNorm(model, train, { limit: EXAMPLES, progress: false });
  const recalibrated = await testErrors(model, test);
  await fit(model, train, training(seed + 100, FINE_TUNE, TUNING_RATE));
  const { macs, params } = summarize(model).total;
  return { before, recalibrated, after: await testErrors(model, test), macs, params };
}

async function unpruned(seed: number): Promise<Outcome> {
  return { ...(await measured(await trained(seed, false), seed)), seconds: 0 };
}

const l1 = () => criteria.magnitude({ norm: 'l1' });
const METHODS: Record<string, (seed: number) => Promise<Outcome>> = {
  'nothing removed': unpruned,
  random: (seed) => pruned(seed, criteria.random()),
  'L1 norm (Li)': (seed) => pruned(seed, l1()),
  'L2 norm': (seed) => pruned(seed, criteria.magnitude({ norm: 'l2' })),
  'geometric median (FPGM)': (seed) => pruned(seed, criteria.geometricMedian()),
  'batch norm scale': (seed) => pruned(seed, criteria.batchNormScale()),
  'batch norm scale, L1 training (Network Slimming)': (seed) =>
    pruned(seed, criteria.batchNormScale(), 'none', true),
  'APoZ (Hu)': (seed) => pruned(seed, criteria.apoz()),
  'mean activation': (seed) => pruned(seed, criteria.meanActivation()),
  'Taylor of activations (Molchanov)': (seed) => pruned(seed, criteria.taylor()),
  'Taylor of weights': (seed) => pruned(seed, criteria.taylorWeight()),
  'LDA (Tian)': (seed) => pruned(seed, criteria.lda()),
  'information gain': (seed) => pruned(seed, criteria.informationGain()),
  'NISP (Yu)': (seed) => pruned(seed, criteria.nisp()),
  'greedy (ThiNet)': (seed) => pruned(seed, criteria.thinet()),
  'greedy, scaled (ThiNet)': (seed) => pruned(seed, criteria.thinet(), 'scale'),
  LASSO: (seed) => pruned(seed, criteria.lasso()),
  'LASSO, least squares (He)': (seed) => pruned(seed, criteria.lasso(), 'leastSquares'),
  'L1 norm, mean fill': (seed) => pruned(seed, l1(), 'mean'),
  'random, least squares': (seed) => pruned(seed, criteria.random(), 'leastSquares'),
};

const results = await study.compare(METHODS, [
  IMAGES,
  EPOCHS,
  FINE_TUNE,
  RATIO,
  EXAMPLES,
  RATE,
  TUNING_RATE,
]);
const rows: Row[] = results.map(({ method, outcomes }) => [
  method,
  outcomes[0]!.macs.toLocaleString('en-US'),
  percent(outcomes.map(({ before }) => before)),
  percent(outcomes.map(({ recalibrated }) => recalibrated)),
  percent(outcomes.map(({ after }) => after)),
]);
/** The methods whose mean error is not below that of random channels. */
function noBetterThanRandom(stage: 'before' | 'recalibrated' | 'after'): string[] {
  const meanOf = ({ outcomes }: (typeof results)[number]) =>
    outcomes.reduce((sum, outcome) => sum + outcome[stage], 0) / outcomes.length;
  const random = meanOf(results.find(({ method }) => method === 'random')!);
  return results
    .filter((result) => result.method !== 'random' && meanOf(result) >= random)
    .map(({ method }) => method);
}
const losers = {
  before: noBetterThanRandom('before'),
  recalibrated: noBetterThanRandom('recalibrated'),
  after: noBetterThanRandom('after'),
};
console.log('No better than random:', losers);
await study.finish(
  [['criterion', 'MACs', 'test error before tuning %', 'recalibrated %', 'tuned %'], ...rows],
  {
    data: { source: 'distorted MNIST', train: train.size, test: test.size },
    settings: {
      epochs: EPOCHS,
      fineTune: FINE_TUNE,
      ratio: RATIO,
      examples: EXAMPLES,
      rate: RATE,
      tuningRate: TUNING_RATE,
    },
    results,
    noBetterThanRandom: losers,
  },
);
