// What compression won and what it cost: two networks side by side.
import { checkInteger, checkOptions, checkRange, type ProgressOption, Random } from '@thimble/base';
import {
  type BatchSource,
  eachBatch,
  exampleShapes,
  type FitData,
  type ObjectiveOptions,
  rowsOf,
  toSource,
} from '@thimble/core';
import { distorted, ImageDataset } from '@thimble/data';
import { cost } from '@thimble/graph';
import { ENERGY_SOURCE, energyOf } from './energy.ts';
import { BATCH, outputsOf } from './outputs.ts';
import { calibration, classScores, regressionScores } from './quality.ts';
import type { NetworkReport, Report } from './report-data.ts';
import { robustnessOf, type Strengths } from './robustness.ts';
import { saliencyOf } from './saliency-report.ts';
import { speedsOf } from './speed.ts';
import { type Network, openSubject, type ReportSubject } from './subject.ts';
import { probabilitiesOf, scoreOf, scoreSum, type Task, taskOf } from './task.ts';

/** Options of {@link report}. */
export interface ReportOptions {
  /** Default that of `model.compile`, else what the last activation tells. */
  loss?: ObjectiveOptions['loss'];
  /** Default those of the data, else numbers. */
  classNames?: readonly string[];
  /**
   * Data of the same kind from elsewhere. Default: where the data are grey square images of `@thimble/data`, these,
   * distorted; false for none.
   */
  shift?: FitData | false;
  /**
   * Strengths in parts of the range of the inputs: deviations of noise (default 0.1, 0.2, 0.4), epsilons of FGSM
   * (0.05, 0.1, 0.2) and of PGD (0.1), steps of PGD (10).
   */
  strengths?: Partial<Strengths>;
  /** Examples for robustness, drawn at random; default 500. 0 leaves it out. */
  robustness?: number;
  /** Images for saliency maps; default 6. 0 leaves them out. */
  maps?: number;
  /** Bins of calibration; default 15. */
  bins?: number;
  /** Inferences of each network that are timed; default 50. */
  repeats?: number;
  /** Of whatever is drawn; default 0. */
  seed?: number | string;
  /** Default true. */
  progress?: ProgressOption;
  /** Stops between batches; its reason is thrown. */
  signal?: AbortSignal;
}

const OWNER = 'report';
const KNOWN = [
  'loss',
  'classNames',
  'shift',
  'strengths',
  'robustness',
  'maps',
  'bins',
  'repeats',
  'seed',
  'progress',
  'signal',
] satisfies (keyof ReportOptions)[];
const STRENGTHS: Strengths = {
  noise: [0.1, 0.2, 0.4],
  fgsm: [0.05, 0.1, 0.2],
  pgd: [0.1],
  steps: 10,
};

/**
 * Puts two networks side by side, for example one before and after compression: accuracy in all and by class (of
 * regression mean absolute and root mean square error), calibration, parameters, sparsity by layer, bytes on disk,
 * multiply-accumulates, latency and memory measured here, an estimate of bandwidth and energy, robustness to noise,
 * shift, FGSM and PGD, and saliency maps.
 *
 * - Each network is a model, the bytes of a `.thimble` file, or both, as `compress` gives them.
 * - Latency is that of one example at a time on packed kernels (where a layer has none: on TensorFlow.js), the two in
 *   turn; compare within a report, not between machines.
 * - Attacks are made against each network itself, with its own gradients. Networks that round give these gradients
 *   straight through, and a saturated network gives small ones: a network that resists is not proven robust.
 * - Strengths are in parts of the range of the inputs (largest less least value in the data).
 *
 * `reportTable` makes a text of it, `reportHtml` of `@thimble/report` a page with charts.
 *
 * @param data test data
 * @throws {OptionError} for unknown options and values out of range; {UnsupportedError} for networks with several
 *   inputs; {DataError}, {ShapeError} for data that does not fit; the signal's reason.
 * @example
 * const compressed = await compress(model, { data: train, steps: [steps.prune({ sparsity: 0.8 })] });
 * const result = await report(model, compressed, test, { robustness: 10, repeats: 5 });
 * console.log(reportTable(result));
 */
export async function report(
  before: ReportSubject,
  after: ReportSubject,
  data: FitData,
  options: ReportOptions = {},
): Promise<Report> {
  const { robustness, maps, bins, repeats, strengths } = resolved(options);
  const { seed = 0, progress = true, signal } = options;
  signal?.throwIfAborted();
  const pass = { progress, ...(signal ? { signal } : {}) };
  const networks: Network[] = [];
  try {
    networks.push(await openSubject(before));
    networks.push(await openSubject(after));
    const [first] = networks as [Network];
    const task = taskOf(OWNER, first.model, options.loss);
    const source = await sourceOf(first, data);
    const all = await outputsOf(networks, source, pass);
    const { range } = all;
    const labels = task.classes > 0 ? all.labels(task) : undefined;
    const speeds = await speedsOf(networks, repeats, pass);
    const about = { task, bins, targets: all.targets, ...(labels ? { labels } : {}) };
    const reports = networks.map((network, i) => ({
      ...qualityOf(about, all.values[i]!),
      ...costsOf(network),
      speed: speeds[i]!,
      energy: energyOf(network.graph),
    }));
    const classNames = namesOf(task, data, options.classNames);
    const some = Math.min(robustness, source.size);
    if (some > 0) {
      const order = new Random(seed, OWNER).permutation(source.size).slice(0, some).sort();
      const examples = rowsOf(source, order);
      const found = await robustnessOf(networks, task, examples, strengths, {
        range,
        seed,
        ...pass,
      });
      const shifted = await shiftedOf(networks, task, data, options.shift, seed, pass);
      for (const [i, each] of found.entries()) {
        (reports[i] as NetworkReport).robustness = {
          ...each,
          ...(shifted ? { shift: shifted[i]! } : {}),
        };
      }
    }
    const worstClass = worstOf(reports[0]!, reports[1]!, classNames);
    return {
      task: task.classes > 0 ? 'classes' : 'numbers',
      examples: source.size,
      ...(data instanceof ImageDataset ? { source: data.source } : {}),
      ...(classNames ? { classNames } : {}),
      before: reports[0]!,
      after: reports[1]!,
      ...(worstClass ? { worstClass } : {}),
      strengths: { ...strengths, examples: some, range },
      saliency: await saliencyOf(networks, task, source, Math.min(maps, source.size), range),
      energySource: ENERGY_SOURCE,
    };
  } finally {
    for (const network of networks) network.dispose();
  }
}

type Resolved = Required<Pick<ReportOptions, 'robustness' | 'maps' | 'bins' | 'repeats'>> & {
  strengths: Strengths;
};

function resolved(options: ReportOptions): Resolved {
  checkOptions(OWNER, options, KNOWN);
  const { robustness = 500, maps = 6, bins = 15, repeats = 50, strengths = {} } = options;
  checkInteger(OWNER, 'robustness', robustness, 0);
  checkInteger(OWNER, 'maps', maps, 0);
  checkInteger(OWNER, 'bins', bins, 1);
  checkInteger(OWNER, 'repeats', repeats, 1);
  checkOptions(`${OWNER}: strengths`, strengths, Object.keys(STRENGTHS));
  const all = { ...STRENGTHS, ...strengths };
  checkInteger(OWNER, 'strengths.steps', all.steps, 1);
  for (const key of ['noise', 'fgsm', 'pgd'] as const) {
    for (const strength of all[key]) checkRange(OWNER, `strengths.${key}`, strength, 0, 1);
  }
  return { robustness, maps, bins, repeats, strengths: all };
}

function sourceOf({ model }: Network, data: FitData): Promise<BatchSource> {
  return toSource(data, exampleShapes(model), OWNER);
}

function qualityOf(
  {
    task,
    labels,
    targets,
    bins,
  }: { task: Task; labels?: number[]; targets: Float32Array; bins: number },
  values: Float32Array,
): Pick<NetworkReport, 'accuracy' | 'perClass' | 'calibration' | 'mae' | 'rmse'> {
  if (!labels) return regressionScores(values, targets);
  const probabilities = probabilitiesOf(task, values, labels.length);
  const { accuracy, perClass } = classScores(probabilities, labels, task.classes);
  return {
    accuracy,
    perClass: perClass.map(({ examples, right }) => ({
      examples,
      accuracy: right / Math.max(1, examples),
    })),
    calibration: calibration(probabilities, labels, task.classes, bins),
  };
}

function costsOf({ graph, bytes }: Network) {
  const { layers, total } = cost(graph);
  const sparsity = ({ params, nonzero }: { params: number; nonzero: number }) =>
    params > 0 ? 1 - nonzero / params : 0;
  return {
    params: total.params,
    nonzero: total.nonzero,
    sparsity: sparsity(total),
    macs: total.macs,
    bytes,
    ratio: (4 * total.params) / bytes,
    layers: layers
      .filter(({ params }) => params > 0)
      .map(({ name, op, params, nonzero, macs, bytes: own }) => {
        return {
          name,
          op,
          params,
          nonzero,
          sparsity: sparsity({ params, nonzero }),
          macs,
          bytes: own,
        };
      }),
  };
}

function namesOf(
  { classes }: Task,
  data: FitData,
  given: readonly string[] | undefined,
): string[] | undefined {
  if (classes === 0) return undefined;
  const own = given ?? (data instanceof ImageDataset ? data.classNames : []);
  return Array.from({ length: classes }, (_, i) => own[i] ?? String(i));
}

function worstOf(
  before: NetworkReport,
  after: NetworkReport,
  names: string[] | undefined,
): Report['worstClass'] {
  let worst: Report['worstClass'];
  for (const [i, name] of (names ?? []).entries()) {
    const [was, is] = [before.perClass![i]!.accuracy, after.perClass![i]!.accuracy];
    if (was - is > (worst?.drop ?? 0)) worst = { name, before: was, after: is, drop: was - is };
  }
  return worst;
}

/** The scores on shifted data, where there are any. */
async function shiftedOf(
  networks: readonly Network[],
  task: Task,
  data: FitData,
  given: FitData | false | undefined,
  seed: number | string,
  pass: { progress: ProgressOption; signal?: AbortSignal },
): Promise<number[] | undefined> {
  const shift = given ?? (await distortedOf(data, seed, pass));
  if (shift === false) return undefined;
  const source = await sourceOf(networks[0]!, shift);
  const sums = networks.map(() => 0);
  await eachBatch(source, { ...pass, batchSize: BATCH }, 'shifted data', async ({ xs, ys }) => {
    for (const [i, network] of networks.entries()) {
      sums[i]! += scoreSum(task, await network.predict(xs[0]!), ys.at(-1)!);
    }
  });
  return sums.map((sum) => scoreOf(task, sum, source.size));
}

async function distortedOf(
  data: FitData,
  seed: number | string,
  { progress, signal }: { progress: ProgressOption; signal?: AbortSignal },
): Promise<FitData | false> {
  if (!(data instanceof ImageDataset)) return false;
  const [height, width, channels] = data.imageShape;
  if (channels !== 1 || height !== width) return false;
  return distorted(data, { seed, onProgress: progress, ...(signal ? { signal } : {}) });
}
