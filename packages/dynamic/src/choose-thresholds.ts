// Exits measured on data, and thresholds chosen by what was measured.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  checkOptions,
  checkPolicy,
  checkRange,
  type ExitPolicy,
  ExitRule,
  type ExitRuleOptions,
  largestOf,
  NoMatchError,
  OptionError,
  ShapeError,
  softmaxRows,
  thresholdsOf,
} from '@thimble/base';
import { eachBatch, type FitData, type PassOptions, toSource } from '@thimble/core';
import { type ExitCost, exitCosts } from './early-exits.ts';
import { exitPlan } from './exit-plan.ts';

/** What a way of leaving comes to, over the examples of a data set. */
export interface EarlyExitResult {
  policy: ExitPolicy;
  /** One for each exit but the last. */
  threshold: number[];
  /** Share of right answers. */
  accuracy: number;
  /** Multiply-accumulates per example, on average. */
  macs: number;
  /** Share of the examples that leave at each exit. */
  fractions: number[];
}

/** One exit by itself: what it costs, and how often it is right over all examples. */
export interface ExitResult extends ExitCost {
  accuracy: number;
}

/** Options of {@link evaluateExits}: how to go through the data, and a rule to leave by. */
export interface EvaluateExitsOptions extends PassOptions, Partial<ExitRuleOptions> {}

/**
 * Accuracy and cost of every exit, each by itself for all examples (the anytime curve of MSDNet), and with a
 * threshold those of leaving by it. All exits are computed for all examples: it tells what {@link predictEarly}
 * would do, and does not do it.
 *
 * @throws whatever `evaluate` throws for data that does not fit; OptionError as {@link predictEarly} does.
 * @example
 * const branchy = earlyExits(model, { after: [model.layers[1].name] });
 * const { exits, early } = await evaluateExits(branchy, test, { policy: 'confidence', threshold: 0.9 });
 * early.accuracy; // exits[0].accuracy <= early.accuracy, as a rule
 */
export async function evaluateExits(
  branchy: LayersModel,
  data: FitData,
  options: EvaluateExitsOptions = {},
): Promise<{ exits: ExitResult[]; early?: EarlyExitResult }> {
  checkOptions('evaluateExits', options, ['policy', 'threshold', ...PASS]);
  const { policy = 'entropy', threshold, ...pass } = options;
  const thresholds =
    threshold !== undefined &&
    thresholdsOf('evaluateExits', { policy, threshold }, branchy.outputs.length);
  const table = await exitTable('evaluateExits', branchy, data, policy, pass);
  const exits = table.costs.map((cost, exit) => {
    const right = table.right[exit]!.reduce((sum, hit) => sum + hit, 0);
    return { ...cost, accuracy: right / table.size };
  });
  return thresholds ? { exits, early: leave(table, [...thresholds]) } : { exits };
}

/** Options of {@link chooseThresholds}; one of `budget` and `accuracy` must be given. */
export interface ChooseThresholdsOptions extends PassOptions {
  /** Default 'entropy'. */
  policy?: ExitPolicy;
  /** Multiply-accumulates per example, on average: the most accurate thresholds that keep to it. */
  budget?: number;
  /** Share of right answers, from 0 to 1: the cheapest thresholds that reach it. */
  accuracy?: number;
}

/**
 * Thresholds for a budget or an accuracy, chosen on validation data (never on those that one trains on: there, a
 * network is too sure). Tried are the thresholds by which a share `p_k = z q^k` of the examples leaves at exit
 * k, for 401 values of q from 1e-5 to 1e5 (MSDNet's rule, with z so that the shares add up to 1), and leaving all
 * at one exit; with patience, every whole number.
 *
 * Paper: Huang et al., "Multi-Scale Dense Networks for Resource Efficient Image Classification", 2018, section 3.
 *
 * @throws {NoMatchError} for a budget that is too small for the first exit, or an accuracy that no thresholds
 *   reach on these data; {OptionError} unless exactly one of the two is given.
 * @example
 * const branchy = earlyExits(model, { after: [model.layers[1].name] });
 * const [first, last] = exitCosts(branchy);
 * const { policy, threshold } = await chooseThresholds(branchy, test, { budget: (first.macs + last.macs) / 2 });
 * const { scores, exits } = await predictEarly(branchy, x, { policy, threshold });
 */
export async function chooseThresholds(
  branchy: LayersModel,
  data: FitData,
  options: ChooseThresholdsOptions,
): Promise<EarlyExitResult> {
  checkOptions(OWNER, options, ['policy', 'budget', 'accuracy', ...PASS]);
  const { policy = 'entropy', budget, accuracy, ...pass } = options;
  checkPolicy(OWNER, policy);
  if ((budget === undefined) === (accuracy === undefined)) {
    throw new OptionError(`${OWNER}: give either a budget or an accuracy.`);
  }
  if (budget !== undefined) checkRange(OWNER, 'budget', budget, 0);
  if (accuracy !== undefined) checkRange(OWNER, 'accuracy', accuracy, 0, 1);
  const table = await exitTable(OWNER, branchy, data, policy, pass);
  const results = candidates(table).map((thresholds) => leave(table, thresholds));
  const fit = results.filter((result) =>
    budget === undefined ? result.accuracy >= accuracy! : result.macs <= budget,
  );
  if (fit.length === 0) {
    const best = results.reduce((a, b) => (b.accuracy > a.accuracy ? b : a));
    throw new NoMatchError(
      budget === undefined
        ? `${OWNER}: no thresholds reach an accuracy of ${accuracy}; the best come to ${best.accuracy.toFixed(4)}.`
        : `${OWNER}: a budget of ${budget} multiply-accumulates is too small: the first exit alone takes ${table.costs[0]!.macs}.`,
    );
  }
  const better = (a: EarlyExitResult, b: EarlyExitResult) =>
    budget === undefined
      ? a.macs - b.macs || b.accuracy - a.accuracy
      : b.accuracy - a.accuracy || a.macs - b.macs;
  return fit.reduce((a, b) => (better(a, b) <= 0 ? a : b));
}

const OWNER = 'chooseThresholds';
const PASS = ['batchSize', 'progress', 'signal'];
const STEPS = 200;

/** Everything about the examples that leaving depends on. */
interface ExitTable {
  policy: ExitPolicy;
  size: number;
  classes: number;
  costs: ExitCost[];
  /** By exit and example: what the policy looks at, and 1 where the answer is right. */
  measures: Float64Array[];
  right: Uint8Array[];
}

async function exitTable(
  owner: string,
  branchy: LayersModel,
  data: FitData,
  policy: ExitPolicy,
  pass: PassOptions,
): Promise<ExitTable> {
  const { segments, classes } = exitPlan(owner, branchy);
  const source = await toSource(data, undefined, owner);
  const { size } = source;
  const table: ExitTable = {
    policy,
    size,
    classes,
    costs: exitCosts(branchy),
    measures: segments.map(() => new Float64Array(size)),
    right: segments.map(() => new Uint8Array(size)),
  };
  const rule = new ExitRule(policy, size);
  let done = 0;
  await eachBatch(source, { batchSize: 256, ...pass }, 'evaluating exits', async (batch) => {
    const labels = await labelsOf(owner, batch.ys[0], classes);
    const outputs = tf.tidy(() => [branchy.predictOnBatch(batch.xs)].flat());
    try {
      for (const [exit, output] of outputs.entries()) {
        const scores = (await output.data()) as Float32Array;
        if (!segments[exit]!.probabilities) softmaxRows(scores, classes);
        for (let row = 0; row < batch.size; row++) {
          const at = row * classes;
          const sample = done + row;
          table.measures[exit]![sample] = rule.measure(sample, scores, at, classes);
          table.right[exit]![sample] = largestOf(scores, at, classes) === labels[row] ? 1 : 0;
        }
      }
    } finally {
      tf.dispose(outputs);
    }
    done += batch.size;
  });
  return table;
}

/** The classes of a batch, from one-hot rows or class numbers. */
async function labelsOf(
  owner: string,
  labels: tf.Tensor | undefined,
  classes: number,
): Promise<ArrayLike<number>> {
  const width = labels?.shape.at(-1);
  if (!labels || (width !== 1 && width !== classes)) {
    throw new ShapeError(
      `${owner}: labels must be one-hot rows of ${classes} classes, or class numbers.`,
    );
  }
  const values = (await labels.data()) as Float32Array;
  if (width === 1) return values;
  return Int32Array.from({ length: labels.shape[0]! }, (_, i) =>
    largestOf(values, i * classes, classes),
  );
}

/** What comes of leaving by thresholds. */
function leave(
  { policy, size, costs, measures, right }: ExitTable,
  threshold: number[],
): EarlyExitResult {
  const rule = new ExitRule(policy, 0);
  const counts = costs.map(() => 0);
  let hits = 0;
  for (let sample = 0; sample < size; sample++) {
    let exit = 0;
    while (exit < threshold.length && !rule.leaves(measures[exit]![sample]!, threshold[exit]!))
      exit++;
    counts[exit]!++;
    hits += right[exit]![sample]!;
  }
  const fractions = counts.map((count) => count / size);
  const macs = fractions.reduce((sum, fraction, exit) => sum + fraction * costs[exit]!.macs, 0);
  return { policy, threshold, accuracy: hits / size, macs, fractions };
}

/** The thresholds to try. */
function candidates(table: ExitTable): number[][] {
  const exits = table.costs.length;
  if (table.policy === 'patience') {
    return Array.from({ length: exits }, (_, i) => new Array(exits - 1).fill(i + 1));
  }
  const shares: number[][] = table.costs.map((_, only) =>
    table.costs.map((_, exit) => (exit === only ? 1 : 0)),
  );
  for (let step = -STEPS; step <= STEPS; step++) {
    const q = 10 ** ((5 * step) / STEPS);
    const parts = table.costs.map((_, exit) => q ** exit);
    const sum = parts.reduce((a, b) => a + b);
    shares.push(parts.map((part) => part / sum));
  }
  return shares.map((each) => thresholdsFor(table, each));
}

/** The thresholds by which the shares leave, the surest first; of equal ones all or none. */
function thresholdsFor({ policy, size, classes, measures }: ExitTable, shares: number[]): number[] {
  const entropy = policy === 'entropy';
  let staying = Array.from({ length: size }, (_, i) => i);
  return shares.slice(0, -1).map((share, exit) => {
    const measure = measures[exit]!;
    const order = Float64Array.from(staying, (sample) =>
      entropy ? measure[sample]! : -measure[sample]!,
    ).sort();
    const leaving = Math.min(Math.round(share * size), order.length);
    let threshold: number;
    // Above every entropy, or below every probability: all leave. The other way round: none does.
    if (leaving === order.length) threshold = entropy ? Math.log(classes) + 1 : 0;
    else if (leaving === 0) threshold = entropy ? 0 : 2;
    else threshold = entropy ? order[leaving]! : -order[leaving - 1]!;
    const rule = entropy
      ? (sample: number) => measure[sample]! >= threshold
      : (sample: number) => measure[sample]! < threshold;
    staying = staying.filter(rule);
    return threshold;
  });
}
