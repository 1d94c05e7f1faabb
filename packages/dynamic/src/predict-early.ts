// Prediction that ends as soon as it is sure.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  checkInteger,
  checkOptions,
  ExitRule,
  type ExitRuleOptions,
  type ProgressOption,
  ShapeError,
  softmaxRows,
  startProgress,
  thresholdsOf,
} from '@thimble/base';
import { type ExitPlan, exitPlan, runSegment, takeRows, type Values } from './exit-plan.ts';

/** Options of {@link predictEarly}. */
export interface PredictEarlyOptions extends ExitRuleOptions {
  /** Samples at a time; default 256. */
  batchSize?: number;
  /** Default false: it is over before one would look. */
  progress?: ProgressOption;
  /** Stops between exits; its reason is thrown. */
  signal?: AbortSignal;
}

/** What {@link predictEarly} found. */
export interface EarlyPrediction {
  /** `[samples, classes]`: of each sample the scores of the exit at which it left. The caller disposes of them. */
  scores: tf.Tensor2D;
  /** Of each sample the exit at which it left, from 0; the last one is the trunk's own. */
  exits: Int32Array;
}

/**
 * Predicts with a model that has early exits, and computes for each sample only what leads to the exit at
 * which it leaves: the layers up to the first exit for all, those up to the second for the samples that the
 * first was not sure of, and so on. The samples that go on do so together, as a smaller batch.
 *
 * The model may be any with several outputs of the same classes, from the shallowest to the deepest:
 * {@link earlyExits} makes such models, so does {@link msdNet}. Logits are made probabilities for the decision.
 *
 * Paper: Teerapittayanon, McDanel, Kung, "BranchyNet", 2016, section III-C (algorithm 1).
 *
 * @throws {OptionError} for an unknown policy, and for thresholds below 0, of the wrong number, or with patience
 *   not whole; {ShapeError} where x does not fit the model or its outputs differ in shape.
 * @example
 * const branchy = earlyExits(model, { after: [model.layers[1].name] });
 * const { scores, exits } = await predictEarly(branchy, x, { policy: 'entropy', threshold: 0.1 });
 * scores.dispose();
 */
export async function predictEarly(
  branchy: LayersModel,
  x: tf.Tensor | readonly tf.Tensor[],
  options: PredictEarlyOptions,
): Promise<EarlyPrediction> {
  checkOptions(OWNER, options, ['policy', 'threshold', 'batchSize', 'progress', 'signal']);
  const { batchSize = 256, progress = false, signal } = options;
  checkInteger(OWNER, 'batchSize', batchSize, 1);
  const plan = exitPlan(OWNER, branchy);
  const thresholds = thresholdsOf(OWNER, options, plan.segments.length);
  const inputs = [x].flat() as tf.Tensor[];
  checkInputs(branchy, inputs);
  const size = inputs[0]!.shape[0]!;
  const state: Passing = {
    rule: new ExitRule(options.policy ?? 'entropy', size),
    thresholds,
    scores: new Float32Array(size * plan.classes),
    exits: new Int32Array(size),
    signal,
  };
  const reporter = startProgress(progress, 'predicting', size);
  try {
    for (let first = 0; first < size; first += batchSize) {
      const count = Math.min(batchSize, size - first);
      await passBatch(plan, inputs, first, count, state);
      reporter.update(first + count);
    }
  } finally {
    reporter.stop();
  }
  return { scores: tf.tensor2d(state.scores, [size, plan.classes]), exits: state.exits };
}

const OWNER = 'predictEarly';

interface Passing {
  rule: ExitRule;
  thresholds: readonly number[];
  scores: Float32Array;
  exits: Int32Array;
  signal: AbortSignal | undefined;
}

function checkInputs({ inputs, name }: LayersModel, given: readonly tf.Tensor[]): void {
  if (given.length !== inputs.length) {
    throw new ShapeError(
      `${OWNER}: the model "${name}" has ${inputs.length} inputs, but was given ${given.length} tensors.`,
    );
  }
  given.forEach((tensor, i) => {
    const wanted = inputs[i]!.shape;
    const fits =
      tensor.shape.length === wanted.length &&
      tensor.shape[0] === given[0]!.shape[0] &&
      tensor.shape.every((n, axis) => axis === 0 || wanted[axis] === null || wanted[axis] === n);
    if (fits) return;
    const shown = wanted.map((n) => n ?? '?').join(', ');
    throw new ShapeError(
      `${OWNER}: input ${i} has shape [${tensor.shape.join(', ')}], but the model "${name}" takes [${shown}].`,
    );
  });
}

/** One batch from exit to exit. */
async function passBatch(
  { inputs, segments, classes }: ExitPlan,
  x: readonly tf.Tensor[],
  first: number,
  count: number,
  { rule, thresholds, scores, exits, signal }: Passing,
): Promise<void> {
  let values: Values = new Map(
    inputs.map((value, i) => {
      const tensor = x[i]!;
      const whole = first === 0 && count === tensor.shape[0];
      return [value, whole ? tf.clone(tensor) : tf.slice(tensor, first, count)];
    }),
  );
  let staying = Int32Array.from({ length: count }, (_, i) => first + i);
  try {
    for (const [exit, segment] of segments.entries()) {
      signal?.throwIfAborted();
      const run = runSegment(segment, values);
      values = run.values;
      const rows = (await run.output.data().finally(() => run.output.dispose())) as Float32Array;
      const threshold = thresholds[exit];
      let probabilities = rows;
      if (threshold !== undefined && !segment.probabilities) {
        probabilities = rows.slice();
        softmaxRows(probabilities, classes);
      }
      const kept = new Int32Array(staying.length);
      let going = 0;
      for (let row = 0; row < staying.length; row++) {
        const sample = staying[row]!;
        const at = row * classes;
        const leaves =
          threshold === undefined ||
          rule.leaves(rule.measure(sample, probabilities, at, classes), threshold);
        if (leaves) {
          scores.set(rows.subarray(at, at + classes), sample * classes);
          exits[sample] = exit;
        } else kept[going++] = row;
      }
      if (going === 0) return;
      if (going === staying.length) continue;
      const chosen = kept.slice(0, going);
      values = takeRows(values, chosen);
      staying = chosen.map((row) => staying[row]!);
    }
  } finally {
    tf.dispose([...values.values()]);
  }
}
