// The search for a recipe's values, and maybe for the network itself, under a budget.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkOptions, OptionError, Random } from '@thimble/base';
import { type BatchSource, lower, type ObjectiveOptions, rowsOf } from '@thimble/core';
import { pack } from '@thimble/runtime';
import { type Compressed, compress } from '../recipes/compress.ts';
import { type CompressData, type Sources, sourcesOf } from '../recipes/data.ts';
import { keyOfWeights, keysOfData } from '../recipes/fingerprint.ts';
import { objectiveOf, scores } from '../recipes/measure.ts';
import { median, timesInTurn } from '../report/times.ts';
import { limitOf, type Outcome } from './goal.ts';
import {
  SEARCH_TRIALS_OPTIONS,
  type SearchTrialsOptions,
  type SearchTrialsResult,
  searchTrials,
  type Trial,
} from './search-trials.ts';
import { filledRecipe, type SearchedRecipe, spaceOf } from './searched-recipe.ts';
import { checkSpace, type Settings, type Space } from './space.ts';

/** What a trial of a recipe needs. */
export interface RecipeTrialOptions {
  /** A trained network; or a function that makes one of the settings of `space`, for widths that are searched. */
  model: LayersModel | ((settings: Settings) => LayersModel);
  /** A recipe with dimensions in place of values. */
  recipe: SearchedRecipe;
  /** What `model` is made of, where it is a function. */
  space?: Space;
  /** Training data, or `{ train, validation, test }`; default validation: a tenth of the training data. */
  data: CompressData;
  /** As for `compress`. */
  loss?: ObjectiveOptions['loss'];
  /** Whether an inference is timed; a goal in milliseconds does so. Default false. */
  timed?: boolean;
  /** Of the validation data; default 0. */
  seed?: number | string;
}

/** Options of {@link search}. */
export interface SearchOptions
  extends Omit<RecipeTrialOptions, 'timed' | 'seed'>,
    Omit<SearchTrialsOptions, 'space' | 'trial'> {
  /** Runs trials elsewhere, for example that of `threadTrials` of `@thimble/workers`; default here. */
  trial?: Trial;
}

/** What {@link search} found. */
export interface SearchResult extends SearchTrialsResult {
  /** The recipe with the values of the best trial. */
  recipe?: SearchedRecipe;
  /** The best one, made once more with its own seed, and with the test data looked at; to be disposed of. */
  compressed?: Compressed;
}

const OWNER = 'search';
const OWN = ['model', 'recipe', 'data', 'loss'] as const satisfies (keyof SearchOptions)[];
const REPEATS = 30;

/**
 * Finds the widths, ratios, ranks and bits of a recipe that make the most accurate network within a budget of bytes,
 * multiply-accumulates or milliseconds; with a `floor`, the cheapest that reaches it. How: {@link searchTrials}. A
 * trial is `compress` with some values, on a share of the training data.
 *
 * - Any value of the recipe may be a dimension: `{ between: [0.5, 0.95] }`, with `whole` or `log`, or
 *   `{ oneOf: [2, 4, 8] }`. With `space` and a function as `model` the network is searched too.
 * - Choices are made by the validation data. They flatter the best, as it was chosen by them; the test data is looked
 *   at once, for the best.
 * - Milliseconds are measured on packed kernels here, and so the same search may end elsewhere next time.
 * - With `file` an interrupted search goes on after the trials that have ended. Those of other weights, data or another
 *   loss are refused, as of another recipe; of the data, sizes and some examples are looked at.
 * - The file that is made has the bytes that the trial had: figures of test data are in the report alone.
 * - Regression is by `-meanAbsoluteError` in place of accuracy.
 *
 * @throws {OptionError} for unknown options, values out of range and a recipe that is none; {CheckpointError} for a
 *   file of another search; whatever steps throw; the signal's reason.
 * @example
 * const { best, front, compressed } = await search({
 *   model,
 *   recipe: { steps: [{ prune: { sparsity: { between: [0.5, 0.95] }, epochs: 0 } }, { encode: {} }] },
 *   data: { train, test },
 *   goal: { bytes: 8000 },
 *   trials: 3,
 *   progress: false,
 * });
 */
export async function search(options: SearchOptions): Promise<SearchResult> {
  checkOptions(OWNER, options, [...OWN, ...SEARCH_TRIALS_OPTIONS]);
  const { model, recipe, space: own = {}, data, loss, trial: elsewhere, ...rest } = options;
  const { seed = 0, signal, goal, progress = true } = rest;
  const timed = limitOf(OWNER, goal).key === 'milliseconds';
  const space = searchedSpace(options);
  const made = {
    model,
    recipe,
    space: own,
    data,
    timed,
    seed,
    ...(loss === undefined ? {} : { loss }),
  };
  const trial = elsewhere ?? (await recipeTrial(made));
  const about = [recipe, await keysOf(options), rest.about ?? null];
  const found = await searchTrials({ ...rest, space, trial, about });
  const { best } = found;
  if (!best) return found;
  const job = { seed: `${seed} ${best.id}`, progress, ...(signal ? { signal } : {}) };
  const { network, dispose } = networkOf(model, best.settings);
  try {
    const sources = await sourcesOf(OWNER, network, data, seed);
    const filled = filledRecipe(recipe, best.settings);
    // As the trial was made, so that the file has the bytes that it was chosen by: figures of test data stay out of it.
    const { test, ...chosen } = sources;
    const again = compressing({ ...chosen, test: undefined }, filled, loss);
    const compressed = await compress(network, { ...again, ...job });
    if (test) await lookAtTest(network, compressed, test, { loss, progress, signal });
    return { ...found, recipe: filled as SearchedRecipe, compressed };
  } finally {
    dispose();
  }
}

/** What kept trials depend on beside the recipe: weights, some examples of the data, the loss. */
async function keysOf({ model, data, loss, seed = 0, file }: SearchOptions): Promise<unknown> {
  if (file === undefined) return null;
  const name = typeof loss === 'function' ? String(loss) : (loss ?? null);
  if (typeof model === 'function') return [name];
  const { train, validation } = await sourcesOf(OWNER, model, data, seed);
  return [name, keyOfWeights(model), keysOfData([train, validation])];
}

/** Adds to the report how the network does on the test data, before and after. */
async function lookAtTest(
  original: LayersModel,
  { model, report }: Compressed,
  test: BatchSource,
  { loss, progress = true, signal }: Pick<SearchOptions, 'loss' | 'progress' | 'signal'>,
): Promise<void> {
  const objective = objectiveOf(OWNER, original, loss);
  const base = { original, objective, progress, ...(signal ? { signal } : {}) };
  report.data.test = test.size;
  report.before.test = await scores(base, original, test);
  report.after.test = await scores(base, model, test);
}

function searchedSpace({ model, recipe, space: own = {} }: SearchOptions): Space {
  if (typeof model !== 'function' && Object.keys(own).length > 0) {
    throw new OptionError(`${OWNER}: space goes with a model that is a function of the settings.`);
  }
  const space = { ...own, ...spaceOf(recipe) };
  checkSpace(OWNER, space);
  return space;
}

/** The network that a trial begins with, and what is to be done with it after. */
function networkOf(
  model: RecipeTrialOptions['model'],
  settings: Settings,
): { network: LayersModel; dispose(): void } {
  if (typeof model !== 'function') return { network: model, dispose: () => {} };
  const network = model(settings);
  return { network, dispose: () => network.dispose() };
}

function compressing(
  { train, validation, test }: Sources,
  recipe: ReturnType<typeof filledRecipe>,
  loss: ObjectiveOptions['loss'] | undefined,
): Parameters<typeof compress>[1] {
  return {
    data: { train, validation, ...(test ? { test } : {}) },
    recipe,
    ...(loss === undefined ? {} : { loss }),
  };
}

/**
 * A trial of a recipe: `compress` with the values of the settings, trained on the first examples of a random order,
 * and the accuracy on the validation data. For modules that make trials in other threads.
 *
 * @throws {DataError}, {ShapeError} for data that does not fit.
 * @example
 * const recipe = { steps: [{ prune: { sparsity: { between: [0.5, 0.95] }, epochs: 0 } }, { encode: {} }] };
 * const trial = await recipeTrial({ model, recipe, data: train });
 * const { accuracy, bytes } = await trial({ settings: { 'prune.sparsity': 0.9 }, share: 1, seed: 0 });
 */
export async function recipeTrial(options: RecipeTrialOptions): Promise<Trial> {
  const { model, recipe, data, loss, timed = false, seed = 0 } = options;
  let sources: Sources | undefined;
  let order: Uint32Array | undefined;
  return async ({ settings, share, seed: own, signal }) => {
    const { network, dispose } = networkOf(model, settings);
    try {
      sources ??= await sourcesOf(OWNER, network, data, seed);
      const { train, validation } = sources;
      order ??= new Random(seed, OWNER).permutation(train.size);
      const part = share === 1 ? train : partOf(train, order, share);
      const filled = filledRecipe(recipe, settings);
      const compressed = await compress(network, {
        ...compressing({ train: part, validation, test: undefined }, filled, loss),
        seed: own,
        progress: false,
        ...(signal ? { signal } : {}),
      });
      try {
        return await outcomeOf(compressed, timed);
      } finally {
        compressed.model.dispose();
      }
    } finally {
      dispose();
    }
  };
}

function partOf(train: BatchSource, order: Uint32Array, share: number): BatchSource {
  return rowsOf(train, order.slice(0, Math.max(1, Math.round(share * train.size))));
}

async function outcomeOf(
  { model, bytes, report: { after } }: Compressed,
  timed: boolean,
): Promise<Outcome> {
  const scores = Object.entries(after.validation);
  // Of several exits the last.
  const accuracy = scores.filter(([key]) => key.endsWith('accuracy')).at(-1)?.[1];
  const error = scores.filter(([key]) => key.endsWith('meanAbsoluteError')).at(-1)?.[1];
  return {
    accuracy: accuracy ?? -error!,
    bytes: bytes.length,
    macs: after.macs,
    ...(timed ? { milliseconds: await millisecondsOf(model) } : {}),
  };
}

async function millisecondsOf(model: LayersModel): Promise<number> {
  const net = await pack(lower(model));
  try {
    const inputs = Object.fromEntries(
      net.inputs.map(({ name, size }) => [name, new Float32Array(size).fill(0.5)]),
    );
    const [times] = await timesInTurn([() => net.predict(inputs)], {
      repeats: REPEATS,
      progress: false,
    });
    return median(times!);
  } finally {
    net.dispose();
  }
}
