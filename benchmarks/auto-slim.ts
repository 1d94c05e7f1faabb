// AutoSlim on distorted MNIST, real digits made harder: channel numbers found greedily on a slimmable network whose layers
// all have as many, as one would write it without knowing better, beside the same width for every layer, at three budgets of
// multiply-accumulates. Both are trained from the start, as in the paper, and trained on from the weights of the slimmable
// network. Three seeds.
import { parseArgs } from 'node:util';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  autoSlim,
  callbacks,
  copyModel,
  extractWidth,
  fit,
  layers,
  recalibrateBatchNorm,
  setWidth,
  summarize,
  withSeed,
} from 'thimble';
import type { Row } from 'thimble-examples/shared/table';
import { beginStudy, percent, realMnist, testErrors, training } from './study.ts';

/** Images to train on; all of them would take three times as long. */
const IMAGES = 20_000;
/** Of the validation images, those that candidates are compared on. */
const JUDGES = 2000;
const EPOCHS = 8;
const TUNE = 2;
const RATE = 2e-3;
const TUNING_RATE = 5e-4;
/** Shares of the whole network's multiply-accumulates. */
const BUDGETS = [0.5, 0.25, 0.1];
const MIN = 0.125;
const FILTERS = 32;
/** Steps of two channels. */
const PARTS = 16;

const { values } = parseArgs({ options: { output: { type: 'string' } } });
const study = await beginStudy('auto-slim', values.output);
const { train: all, validation, test } = await realMnist(true);
const train = all.take(IMAGES);
const judges = validation.take(JUDGES);
const loss = 'categoricalCrossentropy';

function network(seed: number): tfl.Sequential {
  const widths = { min: MIN };
  const block = (name: string, kernelSize: number, more: object = {}) => [
    layers.slimmableConv2d({
      name,
      filters: FILTERS,
      kernelSize,
      widths,
      padding: 'same',
      useBias: false,
      kernelInitializer: 'heNormal',
      ...more,
    }),
    layers.slimmableBatchNormalization({ name: `${name}-norm`, widths, momentum: 0.9 }),
    tfl.layers.reLU({ name: `${name}-relu` }),
  ];
  return withSeed(seed, () =>
    tfl.sequential({
      layers: [
        ...block('conv1', 5, { strides: 2, inputShape: [28, 28, 1] }),
        ...block('conv2', 3),
        ...block('conv3', 3),
        tfl.layers.maxPooling2d({ poolSize: 2 }),
        ...block('conv4', 3),
        ...block('conv5', 3),
        tfl.layers.globalAveragePooling2d({}),
        layers.slimmableDense({ name: 'output', units: 10, activation: 'softmax', widths }),
      ],
    }),
  );
}

interface Outcome {
  macs: number;
  channels: Record<string, number>;
  /** Errors with the weights of the slimmable network, trained on, and trained from the start. */
  before: number;
  tuned: number;
  scratch: number;
}

const settings = [IMAGES, JUDGES, EPOCHS, TUNE, RATE, TUNING_RATE, BUDGETS, MIN, FILTERS, PARTS];

/** The trained slimmable network of a seed. */
async function trained(seed: number): Promise<tfl.LayersModel> {
  const model = network(seed);
  await fit(model, train, {
    ...training(seed, EPOCHS, RATE),
    checkpoint: `${study.output}/slimmable-${seed}.checkpoint`,
    callbacks: [callbacks.slimmableTraining({ layerwise: true })],
  });
  return model;
}

/** One width for all layers: the largest in hundredths that is within a budget. */
async function uniform(model: tfl.LayersModel, budget: number): Promise<tfl.LayersModel> {
  for (let hundredths = 100; hundredths >= 100 * MIN; hundredths--) {
    setWidth(model, hundredths / 100);
    const { macs } = summarize(model).total;
    if (macs <= budget) return extractWidth(model, hundredths / 100);
  }
  throw new Error(`No width is within ${budget}.`);
}

async function measured(model: tfl.LayersModel, seed: number): Promise<Outcome> {
  const { macs } = summarize(model).total;
  const channels = Object.fromEntries(
    model.layers.flatMap(({ name, ...layer }) => {
      const { filters } = layer as { filters?: number };
      return filters ? [[name, filters]] : [];
    }),
  );
  const fresh = copyModel(model, { seed });
  await recalibrateBatchNorm(model, train, { limit: 1000, progress: false });
  const before = await testErrors(model, test);
  await fit(model, train, training(seed + 100, TUNE, TUNING_RATE));
  const tuned = await testErrors(model, test);
  await fit(fresh, train, training(seed, EPOCHS, RATE));
  const scratch = await testErrors(fresh, test);
  model.dispose();
  fresh.dispose();
  return { macs, channels, before, tuned, scratch };
}

type Outcomes = Record<'uniform' | 'autoSlim', Outcome>[];

/** Both at every budget. */
async function compared(seed: number): Promise<Outcomes> {
  const model = await trained(seed);
  const whole = summarize(model).total.macs;
  const budgets = BUDGETS.map((share) => Math.floor(share * whole));
  const slimmed = await study.once(`search, seed ${seed}`, settings, async () => {
    const found = await autoSlim(model, {
      ...{ macs: budgets, data: train, validationData: judges, loss },
      ...{ parts: PARTS, batchSize: 500, progress: false },
    });
    return found.map(({ widths }) => widths);
  });
  const outcomes: Outcomes = [];
  for (const [i, budget] of budgets.entries()) {
    const key = `${BUDGETS[i]} of the MACs, seed ${seed}`;
    outcomes.push({
      uniform: await study.once(`uniform, ${key}`, settings, async () =>
        measured(await uniform(model, budget), seed),
      ),
      autoSlim: await study.once(`AutoSlim, ${key}`, settings, async () =>
        measured(await extractWidth(model, slimmed[i]!), seed),
      ),
    });
  }
  model.dispose();
  return outcomes;
}

const results: { seed: number; outcomes: Outcomes }[] = [];
for (const seed of study.seeds) results.push({ seed, outcomes: await compared(seed) });
const rows: Row[] = BUDGETS.flatMap((share, i) =>
  (['uniform', 'autoSlim'] as const).map((method) => {
    const outcomes = results.map((result) => result.outcomes[i]![method]);
    const macs = outcomes.reduce((sum, each) => sum + each.macs, 0) / outcomes.length;
    return [
      `${100 * share} % of the MACs, ${method === 'uniform' ? 'one width' : 'AutoSlim'}`,
      Math.round(macs).toLocaleString('en-US'),
      percent(outcomes.map(({ before }) => before)),
      percent(outcomes.map(({ tuned }) => tuned)),
      percent(outcomes.map(({ scratch }) => scratch)),
    ];
  }),
);
await study.finish(
  [
    ['network', 'MACs', 'test error, slimmable weights %', 'trained on %', 'from the start %'],
    ...rows,
  ],
  {
    data: { source: 'distorted MNIST', train: train.size, judges: judges.size, test: test.size },
    settings: {
      epochs: EPOCHS,
      tune: TUNE,
      rate: RATE,
      tuningRate: TUNING_RATE,
      budgets: BUDGETS,
      min: MIN,
      filters: FILTERS,
      parts: PARTS,
    },
    results,
  },
);
