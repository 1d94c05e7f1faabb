// The anytime curve of a small multi-scale dense network on distorted MNIST, beside plain convolutional networks
// trained for each of its budgets alone; and budgeted batches by thresholds chosen on validation images.
import { parseArgs } from 'node:util';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  chooseThresholds,
  type EarlyExitResult,
  type ExitResult,
  evaluateExits,
  exitCosts,
  fit,
  fitExits,
  msdNet,
  summarize,
  withSeed,
} from 'thimble';
import { count, meanAndSpread, type Row } from 'thimble-examples/shared/table';
import { beginStudy, percent, realMnist, testErrors, training } from './study.ts';

const { values } = parseArgs({
  options: {
    output: { type: 'string' },
    images: { type: 'string', default: '12000' },
    epochs: { type: 'string', default: '8' },
  },
});
const EPOCHS = Number(values.epochs);
const RATE = 3e-3;
const EXITS = 4;
/** Budgets of batches, as parts of the way from the cost of the first exit to that of the last. */
const BUDGETS = [0.1, 0.25, 0.5, 0.75];

const study = await beginStudy('msdnet', values.output);
const { train: all, validation, test } = await realMnist(true);
const train = all.take(Number(values.images));
const inputShape: [number, number, number] = [28, 28, 1];
const quiet = { batchSize: 500, progress: false };

const network = (seed: number) =>
  msdNet({ inputShape, classes: 10, exits: EXITS, filters: 8, growth: 6, strides: 2, seed });

/** Three convolutions of w, 2w and 4w filters at 14, 7 and 4 pixels. */
function plain(width: number, seed: number): tfl.Sequential {
  const { activation, batchNormalization, conv2d, dense, globalAveragePooling2d } = tfl.layers;
  const layer = (filters: number, first: object = {}) => [
    conv2d({
      filters,
      kernelSize: 3,
      strides: 2,
      padding: 'same',
      useBias: false,
      kernelInitializer: 'heNormal',
      ...first,
    }),
    batchNormalization({ momentum: 0.9 }),
    activation({ activation: 'relu' }),
  ];
  return withSeed(seed, () =>
    tfl.sequential({
      layers: [
        ...layer(width, { inputShape }),
        ...layer(2 * width),
        ...layer(4 * width),
        globalAveragePooling2d({}),
        dense({ units: 10, activation: 'softmax' }),
      ],
    }),
  );
}

/** The narrowest plain network that costs no less. */
function widthFor(macs: number): number {
  for (let width = 1; ; width++) {
    const model = plain(width, 0);
    const cost = summarize(model).total.macs;
    model.dispose();
    if (cost >= macs) return width;
  }
}

interface MultiScale {
  exits: ExitResult[];
  /** By budget: what was chosen on validation images, and what it came to on the test images. */
  budgets: { budget: number; chosen: EarlyExitResult; early: EarlyExitResult }[];
}

async function multiScale(seed: number): Promise<MultiScale> {
  const model = network(seed);
  await fitExits(model, train, {
    ...training(seed, EPOCHS, RATE),
    checkpoint: `${study.output}/msdnet-${seed}.checkpoint`,
  });
  const { exits } = await evaluateExits(model, test, quiet);
  const first = exits[0]!.macs;
  const last = exits.at(-1)!.macs;
  const budgets = [];
  for (const part of BUDGETS) {
    const budget = first + part * (last - first);
    const options = { policy: 'confidence', ...quiet } as const;
    const chosen = await chooseThresholds(model, validation, { budget, ...options });
    const { threshold } = chosen;
    const { early } = await evaluateExits(model, test, { threshold, ...options });
    budgets.push({ budget, chosen, early: early! });
  }
  model.dispose();
  return { exits, budgets };
}

async function plainErrors(seed: number, width: number): Promise<number> {
  const model = plain(width, seed);
  await fit(model, train, training(seed, EPOCHS, RATE));
  const errors = await testErrors(model, test);
  model.dispose();
  return errors;
}

const settings = [train.size, EPOCHS, RATE, EXITS, BUDGETS];
const [multi] = await study.compare({ MSDNet: multiScale }, settings);
const model = network(0);
const costs = exitCosts(model);
model.dispose();
const widths = costs.map(({ macs }) => widthFor(macs));
const alone = await study.compare(
  Object.fromEntries(
    [...new Set(widths)].map((width) => [
      `plain, width ${width}`,
      (seed: number) => plainErrors(seed, width),
    ]),
  ),
  settings,
);
const plainOf = (exit: number) =>
  alone.find(({ method }) => method === `plain, width ${widths[exit]}`)!.outcomes;
const errorsOf = (accuracy: number) => Math.round((1 - accuracy) * test.size);
const anytime: Row[] = costs.map(({ name, macs }, exit) => {
  const own = multi!.outcomes.map(({ exits }) => errorsOf(exits[exit]!.accuracy));
  return [`${name}, all images`, count(macs), percent(own), percent(plainOf(exit))];
});
const budgeted: Row[] = BUDGETS.map((part, i) => {
  const each = multi!.outcomes.map(({ budgets }) => budgets[i]!);
  return [
    `budget ${Math.round(100 * part)} % of the way`,
    meanAndSpread(
      each.map(({ early }) => early.macs),
      0,
    ),
    percent(each.map(({ early }) => errorsOf(early.accuracy))),
    '',
  ];
});
await study.finish(
  [['MSDNet', 'MACs', 'test error %', 'plain net of no fewer MACs, %'], ...anytime, ...budgeted],
  {
    data: { source: 'distorted MNIST', train: train.size, test: test.size },
    settings: { epochs: EPOCHS, rate: RATE, exits: EXITS, budgets: BUDGETS },
    costs,
    widths,
    results: multi!.outcomes,
    plain: alone,
  },
);
