// The recipes that are ready, as they are shipped, on trained LeNet-5 networks and real MNIST, by `compress`: bytes, work and
// error of the files that they make. The file of `anytime` is read back and run at each of its widths, once by its
// early exits with the thresholds that the recipe chose and once to the end.
import { parseArgs } from 'node:util';
import {
  type Compressed,
  compress,
  evaluateExits,
  load,
  type Recipe,
  recipes,
  setWidth,
  summarize,
} from 'thimble';
import type { Row } from 'thimble-examples/shared/table';
import { denseNetwork, PLANS, RATE } from './han-pruning.ts';
import { beginStudy, percent, realMnist, testErrors } from './study.ts';

const NET = 'lenet5';

const { values } = parseArgs({ options: { output: { type: 'string' } } });
const study = await beginStudy('ready-recipes', values.output);
const { train, validation, test } = await realMnist();
const place = { output: study.output, train, validation };

/** One way to run a network. */
interface Outcome {
  errors: number;
  /** Multiply-accumulates of an image, those with zeros counted too; on average where images leave early. */
  macs: number;
  /** Of the file; of the dense network of its weights. */
  bytes: number;
}

/** A file with several ways to run it, by what they are called. */
type Outcomes = Record<string, Outcome>;

async function dense(seed: number): Promise<Outcomes> {
  const model = await denseNetwork(place, NET, seed);
  const { macs, bytes } = summarize(model).total;
  return { dense: { errors: await testErrors(model, test), macs, bytes } };
}

async function made(recipe: Recipe, seed: number): Promise<Compressed> {
  const model = await denseNetwork(place, NET, seed);
  const { name } = recipe;
  return compress(model, {
    data: { train, validation },
    recipe,
    seed,
    folder: `${study.output}/${name}-${seed}`,
    progress: false,
  });
}

async function plain(recipe: Recipe, seed: number): Promise<Outcomes> {
  const { bytes, report } = await made(recipe, seed);
  const model = await load(bytes);
  const outcome = { errors: await testErrors(model, test), macs: report.after.macs };
  return { [recipe.name!]: { ...outcome, bytes: bytes.length } };
}

/** How images leave at a width, in the report of the step `exits`. */
interface Leaving {
  width: number;
  leave: { policy: 'confidence'; threshold: number[] };
}

async function anytime(seed: number): Promise<Outcomes> {
  const { bytes, report } = await made(recipes.anytime(), seed);
  const { details } = report.steps.find(({ name }) => name === 'exits')!;
  const chosen = details.widths as unknown as Leaving[];
  const model = await load(bytes);
  const outcomes: Outcomes = {};
  const errorsOf = (accuracy: number) => Math.round((1 - accuracy) * test.size);
  for (const { width, leave } of chosen) {
    setWidth(model, width);
    const { policy, threshold } = leave;
    const { exits, early } = await evaluateExits(model, test, { policy, threshold });
    for (const [how, { accuracy, macs }] of [
      ['early exits', early!],
      ['all of it', exits.at(-1)!],
    ] as const) {
      const errors = errorsOf(accuracy);
      outcomes[`anytime, width ${width}, ${how}`] = { errors, macs, bytes: bytes.length };
    }
  }
  return outcomes;
}

const READY: Record<string, (seed: number) => Promise<Outcomes>> = {
  dense,
  mobile: (seed) => plain(recipes.mobile(), seed),
  binary: (seed) => plain(recipes.binary(), seed),
  lotteryTicket: (seed) => plain(recipes.lotteryTicket(), seed),
  deepCompression: (seed) => plain(recipes.deepCompression(), seed),
  anytime,
};

const settings = { epochs: PLANS[NET].denseEpochs, rate: RATE };
const found = await study.compare(READY, settings);
const results = found.flatMap(({ outcomes }) =>
  Object.keys(outcomes[0]!).map((method) => ({
    method,
    outcomes: outcomes.map((each) => each[method]!),
  })),
);
const mean = (counts: number[]) =>
  Math.round(counts.reduce((sum, count) => sum + count, 0) / counts.length);
const rows: Row[] = results.map(({ method, outcomes }) => [
  method,
  mean(outcomes.map(({ bytes }) => bytes)).toLocaleString('en-US'),
  mean(outcomes.map(({ macs }) => macs)).toLocaleString('en-US'),
  percent(outcomes.map(({ errors }) => errors)),
]);
await study.finish([['recipe', 'bytes', 'MACs', 'test error %'], ...rows], {
  data: { source: 'MNIST', train: train.size, validation: validation.size, test: test.size },
  settings: {
    ...settings,
    recipes: Object.fromEntries(Object.entries(recipes).map(([name, make]) => [name, make()])),
  },
  results,
});
