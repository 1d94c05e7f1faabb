// Whole recipes: one step after the other, then the file, then what it came to.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkOptions, OptionError, type ProgressOption } from '@thimble/base';
import { copyModel, finalize, type ObjectiveOptions } from '@thimble/core';
import type { Attribute } from '@thimble/graph';
import {
  type EncodeOptions,
  encodeWithReport,
  load,
  type StoredWeight,
  withNotes,
} from '@thimble/io';
import { activationPlaces } from '@thimble/quantization';
import { type CompressData, type Sources, sourcesOf } from './data.ts';
import { keyOf, keyOfWeights, keysOfData } from './fingerprint.ts';
import { costs, type Measured, objectiveOf, type StepReport, scores } from './measure.ts';
import { checkOrder } from './order.ts';
import { parseRecipe, type Recipe, type StepData, stepData } from './recipe.ts';
import type { Job, Step } from './step.ts';
import { keepStep, keptModel, keptStep } from './step-files.ts';

/** Options of {@link compress}. */
export interface CompressOptions {
  /** Training data, or `{ train, validation, test }`. */
  data: CompressData;
  /** What is done, one after the other: of `steps`, or your own. Either this or `recipe`. */
  steps?: readonly Step[];
  /** Steps as plain data: of `recipes`, or from a file. */
  recipe?: Recipe;
  /** Default that of `model.compile`, else what the last activation tells: softmax or sigmoid. */
  loss?: ObjectiveOptions['loss'];
  /** Of everything random; default that of the recipe, else 0. */
  seed?: number | string;
  /** A folder where finished steps and checkpoints are kept; an interrupted run goes on from there. Node only. */
  folder?: string;
  /** Default true. */
  progress?: ProgressOption;
  /** Stops within training and between steps; with a folder the work so far is kept. Its reason is thrown. */
  signal?: AbortSignal;
  /** Told of each step as it is finished, those that were kept too. */
  onStep?: (report: StepReport) => void;
}

/** What {@link compress} came to. */
export interface CompressReport {
  /** All that is needed to do it again. */
  recipe: { name?: string; seed: number | string; steps: StepData[] };
  /** Numbers of examples. */
  data: { train: number; validation: number; test?: number };
  before: Measured;
  steps: StepReport[];
  /** Of the network as it is read back from the file. */
  after: Measured;
  /** Bytes of the file, and all but the weights in it. */
  bytes: number;
  header: number;
  /** Weights and biases of the network as it was given, as float32, divided by the bytes of the file. */
  ratio: number;
  weights: StoredWeight[];
}

/** What {@link compress} gives back. */
export interface Compressed {
  /** What the file holds, as a plain tfjs-layers model; where activations are rounded, with layers that round them. */
  model: LayersModel;
  /** The `.thimble` file, recipe and figures in its notes. */
  bytes: Uint8Array<ArrayBuffer>;
  report: CompressReport;
}

/**
 * Compresses a trained model by a recipe: runs the steps one after the other, each on what the one before left,
 * writes the `.thimble` file, reads it back and measures that. The model given stays as it was.
 *
 * - Steps train on `data.train` and choose by `data.validation` (default: a tenth of the training data, held out).
 *   `data.test` is looked at when all is done: once for the network before, once for that of the file.
 * - The recipe and the figures are in the file: `decode(bytes)` gives them as `report`.
 * - With `folder`, finished steps are kept; the same call later does what is missing. Other weights, data or another loss
 *   are another run in the same folder; of other steps those up to the first difference are taken over. Of the data, sizes
 *   and some examples are looked at.
 *
 * @throws {OptionError} for unknown or impossible options, before anything is done; {DataError}, {ShapeError} for
 *   data that does not fit; whatever the steps throw; the signal's reason when aborted.
 * @example
 * const { model: small, bytes, report } = await compress(model, {
 *   data: { train, test },
 *   steps: [steps.prune({ sparsity: 0.8 }), steps.quantize({ bits: 8 }), steps.encode({ entropy: 'huffman' })],
 * });
 * report.ratio; // how many times smaller than float32
 */
export async function compress(model: LayersModel, options: CompressOptions): Promise<Compressed> {
  checkOptions(OWNER, options, KNOWN);
  const { progress = true, signal, loss } = options;
  const recipe = recipeOf(options);
  signal?.throwIfAborted();
  const original = copyModel(model);
  let run: Run | undefined;
  try {
    const objective = objectiveOf(OWNER, model, loss);
    const sources = await sourcesOf(OWNER, model, options.data, recipe.seed);
    const { train, validation } = sources;
    const pass = { progress, ...(signal ? { signal } : {}) };
    const base = { original, objective, train, validation, ...pass };
    const before: Measured = {
      ...costs(original),
      validation: await scores(base, original, validation),
    };
    run = await begin(recipe, base, options);
    await takeSteps(run, options);
    return await finish(run, recipe, before, sources);
  } finally {
    run?.model.dispose();
    original.dispose();
  }
}

const OWNER = 'compress';
const KNOWN = [
  'data',
  'steps',
  'recipe',
  'loss',
  'seed',
  'folder',
  'progress',
  'signal',
  'onStep',
] satisfies (keyof CompressOptions)[];

/** The steps with their name and seed. */
interface ResolvedRecipe {
  name?: string;
  seed: number | string;
  steps: readonly Step[];
}

function recipeOf({ steps, recipe, seed }: CompressOptions): ResolvedRecipe {
  if ((steps === undefined) === (recipe === undefined)) {
    throw new OptionError(
      `${OWNER}: give either steps, for example [steps.prune({ sparsity: 0.9 }), steps.encode()], or recipe.`,
    );
  }
  const found = recipe === undefined ? { steps: steps! } : parseRecipe(recipe);
  const list = found.steps;
  const isStep = (step: Step) => typeof step?.run === 'function' && typeof step.name === 'string';
  if (!Array.isArray(list) || list.length === 0 || !list.every(isStep)) {
    throw new OptionError(
      `${OWNER}: steps must be a list of one or more steps, each made by one of steps, such as steps.prune({ ... }).`,
    );
  }
  if (recipe === undefined) checkOrder(OWNER, list);
  const own = recipe === undefined ? undefined : (found as ResolvedRecipe).seed;
  return {
    seed: 0,
    ...found,
    ...(own === undefined && seed === undefined ? {} : { seed: seed ?? own! }),
  };
}

/** What is the same for all steps. */
type Base = Omit<Job, 'model' | 'seed' | 'checkpoint' | 'replace' | 'note' | 'encoding'>;

/** A compression under way. */
interface Run {
  readonly base: Base;
  readonly steps: readonly Step[];
  readonly seed: number | string;
  /** Where each step is kept; none without a folder. */
  readonly places: readonly string[];
  readonly reports: StepReport[];
  model: LayersModel;
  encoding: EncodeOptions;
}

/** A run that stands after the last step that an earlier one has finished. */
async function begin(
  { seed, steps }: ResolvedRecipe,
  base: Base,
  { folder }: CompressOptions,
): Promise<Run> {
  const places = folder === undefined ? [] : placesOf(folder, seed, steps, base);
  const reports: StepReport[] = [];
  let encoding: EncodeOptions = {};
  for (const place of places) {
    const kept = await keptStep(place);
    if (!kept) break;
    reports.push({ ...kept.report, kept: true });
    encoding = (kept.encoding as EncodeOptions | null) ?? encoding;
  }
  const last = places[reports.length - 1];
  const model = last === undefined ? copyModel(base.original) : await keptModel(last);
  return { base, steps, seed, places, reports, model, encoding };
}

/** Where the steps are kept: the name tells all that the outcome of the step depends on. */
function placesOf(
  folder: string,
  seed: number | string,
  steps: readonly Step[],
  { original, objective, train, validation }: Base,
): string[] {
  const data = keysOfData([train, validation]);
  const loss = JSON.stringify(objective.loss, (_, value) =>
    typeof value === 'function' ? String(value) : value,
  );
  const about = [seed, keyOfWeights(original), data, loss];
  const key = (i: number) => keyOf([about, stepData(steps.slice(0, i + 1))]);
  return steps.map(({ name }, i) => `${folder}/${i + 1}-${name}-${key(i)}`);
}

/** The steps that are left. */
async function takeSteps(run: Run, { onStep }: CompressOptions): Promise<void> {
  const { base, steps, seed, places, reports } = run;
  for (const report of reports) onStep?.(report);
  for (let i = reports.length; i < steps.length; i++) {
    base.signal?.throwIfAborted();
    const { name, options } = steps[i]!;
    const place = places[i];
    const started = performance.now();
    const details: Record<string, Attribute> = {};
    let encoding: EncodeOptions | undefined;
    await steps[i]!.run({
      ...base,
      get model() {
        return run.model;
      },
      seed: `${seed} ${i} ${name}`,
      replace: (model, { sharesLayers } = { sharesLayers: false }) => {
        if (!sharesLayers) run.model.dispose();
        run.model = model;
      },
      note: (more) => {
        Object.assign(details, more);
      },
      encoding: (given) => {
        encoding = given;
      },
      ...(place === undefined ? {} : { checkpoint: `${place}.checkpoint` }),
    });
    run.encoding = encoding ?? run.encoding;
    const report: StepReport = {
      name,
      options,
      ...costs(run.model),
      validation: await scores(base, run.model, base.validation),
      seconds: (performance.now() - started) / 1000,
      kept: false,
      details,
    };
    if (place !== undefined) {
      await keepStep(place, run.model, { report, encoding: encoding ?? null });
    }
    reports.push(report);
    onStep?.(report);
  }
}

/** The file, read back before anything is said about it. */
async function finish(
  { base, model, encoding, reports, steps, seed }: Run,
  { name }: ResolvedRecipe,
  before: Measured,
  { test, train, validation }: Sources,
): Promise<Compressed> {
  const { progress, signal } = base;
  const draft = await encodeWithReport(model, {
    ...encoding,
    progress,
    ...(signal ? { signal } : {}),
  });
  const result = await readBack(model, draft.bytes);
  try {
    const after: Measured = {
      ...costs(model),
      validation: await scores(base, result, validation),
    };
    if (test) {
      before.test = await scores(base, base.original, test);
      after.test = await scores(base, result, test);
    }
    const recipe = { ...(name === undefined ? {} : { name }), seed, steps: stepData(steps) };
    const data = {
      train: train.size,
      validation: validation.size,
      ...(test ? { test: test.size } : {}),
    };
    const notes = { recipe, data, before, after, details: reports.map(told) };
    const report = JSON.parse(JSON.stringify(notes)) as Attribute;
    const { bytes, header } = withNotes(draft.bytes, { report });
    const ratio = (4 * before.params) / bytes.length;
    const sizes = { bytes: bytes.length, header, ratio, weights: draft.weights };
    return {
      model: result,
      bytes,
      report: { recipe, data, before, steps: reports, after, ...sizes },
    };
  } catch (error) {
    result.dispose();
    throw error;
  }
}

/** What a step tells, without what the recipe says already. */
function told({ name, details }: StepReport): Attribute {
  return { [name]: details };
}

/** The network of a file; what is rounded between layers is not in a plain one, so that one is made otherwise. */
async function readBack(model: LayersModel, bytes: Uint8Array): Promise<LayersModel> {
  return activationPlaces(model).length > 0 ? finalize(model) : load(bytes);
}
