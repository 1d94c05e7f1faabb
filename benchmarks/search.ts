// Search under three budgets of bytes on real MNIST: widths, sparsities of each layer and shared values of
// LeNet-300-100 found by successive halving and TPE, beside the same recipe scaled alike in all layers, once by width
// and once by sparsity, each as large as the budget allows. All choices are made by validation data; those that are
// chosen are made anew with three seeds, and the test data is looked at for these alone.
import { parseArgs } from 'node:util';
import {
  compress,
  filledRecipe,
  fit,
  type Recipe,
  recipeTrial,
  type SearchedRecipe,
  type SearchTrialsResult,
  search,
} from 'thimble';
import { network } from 'thimble-examples/shared/networks';
import { count, meanAndSpread, type Row } from 'thimble-examples/shared/table';
import { beginStudy, realMnist, training } from './study.ts';

const BUDGETS = [30_000, 15_000, 8_000];
const DENSE_EPOCHS = 5;
const RATE = 1e-3;
/** What the recipe says where only one thing is scaled. */
const SPARSITY = 0.9;
const CLUSTERS = 16;
/** Room for what other seeds take more. */
const MARGIN = 0.98;
const STEPS = { batchSize: 128, learningRate: RATE };
const LAYERS = ['fc1', 'fc2'] as const;

const { values } = parseArgs({
  options: {
    /** Images to train on; all of them would take nearly three times as long. */
    images: { type: 'string', default: '20000' },
    trials: { type: 'string', default: '36' },
    output: { type: 'string' },
  },
});
const images = Number(values.images);
const trials = Number(values.trials);
const study = await beginStudy('search', values.output);
const { train: all, validation: others, test } = await realMnist();
const validation = others.take(Math.min(images, others.size));
const train = all.take(Math.min(images, all.size));
const settings = [images, trials, DENSE_EPOCHS, RATE, SPARSITY, CLUSTERS, STEPS];

/** The recipe, with one value or dimension for each layer; without training only its bytes count. */
function recipe(
  width: object,
  sparsity: object,
  clusters: unknown,
  trained: boolean,
): SearchedRecipe {
  const steps = (epochs: number) => ({ ...STEPS, epochs: trained ? epochs : 0 });
  return {
    steps: [
      { removeChannels: { perLayer: width, ...steps(1) } },
      { prune: { perLayer: sparsity, ...steps(2) } },
      { cluster: { clusters, biasBits: 8, ...steps(1) } },
      { encode: {} },
    ],
  };
}

const SEARCHED = recipe(
  { fc1: { between: [0, 0.9] }, fc2: { between: [0, 0.9] } },
  {
    fc1: { between: [0.8, 0.99] },
    fc2: { between: [0.5, 0.98] },
    output: { between: [0, 0.95] },
  },
  { between: [4, 32], whole: true, log: true },
  true,
);

/** Scaled alike in all layers: by width, or by sparsity. */
const UNIFORM: Record<'width' | 'sparsity', (scale: number, trained: boolean) => SearchedRecipe> = {
  width: (scale, trained) =>
    recipe(alike(LAYERS, 1 - scale), alike([...LAYERS, 'output'], SPARSITY), CLUSTERS, trained),
  sparsity: (scale, trained) =>
    recipe(alike(LAYERS, 0), alike([...LAYERS, 'output'], 1 - scale), CLUSTERS, trained),
};

function alike(names: readonly string[], value: number): Record<string, number> {
  return Object.fromEntries(names.map((name) => [name, value]));
}

const model = network('lenet300', 0);
await fit(model, train, {
  ...training(0, DENSE_EPOCHS, RATE),
  checkpoint: `${study.output}/dense.checkpoint`,
});

interface Made {
  bytes: number;
  /** Accuracies in percent. */
  validation: number;
  test: number;
}

/** What a recipe without dimensions comes to, made once more with a seed. */
async function made(chosen: Recipe, seed: number): Promise<Made> {
  const {
    model: small,
    bytes,
    report,
  } = await compress(model, {
    data: { train, validation, test },
    recipe: chosen,
    seed: `made ${seed}`,
    progress: false,
  });
  small.dispose();
  const { after } = report;
  return {
    bytes: bytes.length,
    validation: 100 * after.validation.accuracy!,
    test: 100 * after.test!.accuracy!,
  };
}

/** Bytes of a recipe without dimensions, and its accuracy on the validation data. */
async function tried(plain: SearchedRecipe): Promise<{ bytes: number; accuracy: number }> {
  const trial = await recipeTrial({ model, recipe: plain, data: { train, validation } });
  const { bytes, accuracy } = await trial({ settings: {}, share: 1, seed: 0 });
  return { bytes: bytes!, accuracy };
}

/** The largest scale, in thousandths, whose trained file is within a budget. */
async function largest(kind: 'width' | 'sparsity', budget: number): Promise<number> {
  const make = UNIFORM[kind];
  let [low, high] = [1, 1000];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    const { bytes } = await tried(make(middle / 1000, false));
    if (bytes <= MARGIN * budget) low = middle;
    else high = middle;
  }
  // Trained values are a little dearer or cheaper to code. Nothing is wider than the whole.
  let scale = Math.min(1000, Math.round(low * 1.03));
  while ((await tried(make(scale / 1000, true))).bytes > MARGIN * budget) {
    scale = Math.min(scale - 1, Math.floor(scale * 0.985));
  }
  return scale / 1000;
}

/** What the search finds, without the network, which is made anew. */
async function searched(budget: number): Promise<Pick<SearchTrialsResult, 'best' | 'front'>> {
  const { compressed, best, front } = await search({
    model,
    recipe: SEARCHED,
    data: { train, validation },
    goal: { bytes: MARGIN * budget },
    trials,
    file: `${study.output}/search-${budget}-${images}.json`,
    about: settings,
  });
  compressed?.model.dispose();
  return { ...(best ? { best } : {}), front };
}

const results = [];
for (const budget of BUDGETS) {
  const key = `for ${budget} bytes`;
  const { best, front } = await study.once(`search ${key}`, settings, () => searched(budget));
  if (!best) throw new Error(`Nothing was found ${key}. Give more --trials.`);
  const chosen = [
    {
      method: 'search',
      about: { settings: best.settings, front } as object,
      recipe: filledRecipe(SEARCHED, best.settings),
    },
  ];
  for (const kind of ['width', 'sparsity'] as const) {
    const scale = await study.once(`one ${kind} ${key}`, settings, () => largest(kind, budget));
    chosen.push({
      method: `one ${kind}`,
      about: { scale },
      recipe: filledRecipe(UNIFORM[kind](scale, true), {}),
    });
  }
  for (const { method, about, recipe: filled } of chosen) {
    const outcomes: Made[] = [];
    for (const seed of study.seeds) {
      const own = `${method} ${key}, seed ${seed}`;
      outcomes.push(await study.once(own, [settings, filled], () => made(filled, seed)));
    }
    results.push({ budget, method, about, outcomes });
  }
}

const table: Row[] = [
  ['budget', 'method', 'bytes', 'validation %', 'test %'],
  ...results.map(({ budget, method, outcomes }) => [
    count(budget),
    method,
    meanAndSpread(
      outcomes.map(({ bytes }) => bytes),
      0,
    ),
    meanAndSpread(
      outcomes.map(({ validation: accuracy }) => accuracy),
      2,
    ),
    meanAndSpread(
      outcomes.map(({ test: accuracy }) => accuracy),
      2,
    ),
  ]),
];
await study.finish(table, { net: 'LeNet-300-100', images, trials, recipe: SEARCHED, results });
