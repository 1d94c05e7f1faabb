// Loss, metrics and outputs of a model over many examples, batch by batch.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  checkInteger,
  checkOptions,
  OptionError,
  type ProgressOption,
  startProgress,
} from '@thimble/base';
import { disposeBatch, drawBatch, type FitData, toSource } from './batches.ts';
import { checkData, exampleShapes } from './check-data.ts';
import { ensureBuilt, penalties } from './model-weights.ts';
import {
  metricSum,
  type Objective,
  type ObjectiveOptions,
  objectiveOf,
  outputLosses,
} from './objective.ts';
import { forward } from './supervised-step.ts';
import type { Batch, BatchSource } from './training.ts';
import { breather } from './yielding.ts';

/** How to go through data. */
export interface PassOptions {
  /** Examples at a time; default 32. */
  batchSize?: number;
  /** Default true. */
  progress?: ProgressOption;
  /** Stops between batches; its reason is thrown. */
  signal?: AbortSignal;
}

/** Options of {@link evaluate}. */
export interface EvaluateOptions extends ObjectiveOptions, PassOptions {}

const PASS_OPTIONS = ['batchSize', 'progress', 'signal'];

/** Draws all examples in order, or the first `limit`; `visit` must not keep the batch. */
export async function eachBatch(
  source: BatchSource,
  { batchSize = 32, progress = true, signal }: PassOptions,
  task: string,
  visit: (batch: Batch) => Promise<void>,
  limit: number = source.size,
): Promise<void> {
  const size = Math.min(limit, source.size);
  const reporter = startProgress(progress, task, size);
  const breathe = breather();
  try {
    for (let start = 0; start < size; start += batchSize) {
      signal?.throwIfAborted();
      const n = Math.min(batchSize, size - start);
      const batch = drawBatch(
        source,
        Uint32Array.from({ length: n }, (_, i) => start + i),
      );
      try {
        await visit(batch);
      } finally {
        disposeBatch(batch);
      }
      reporter.update(start + n);
      await breathe();
    }
  } finally {
    reporter.stop();
  }
}

/** The loss and metrics of a source that has been checked. */
export async function evaluateSource(
  model: LayersModel,
  source: BatchSource,
  objective: Objective,
  options: PassOptions,
): Promise<Record<string, number>> {
  const lossSums = objective.map(() => 0);
  const metricSums = objective.map(({ metrics }) => metrics.map(() => 0));
  await eachBatch(source, options, 'evaluating', async (batch) => {
    const scalars = tf.tidy(() => {
      const outputs = forward(model, batch.xs, false);
      const sums = objective.map(({ metrics }, i) =>
        metrics.map((metric) => metricSum(metric, batch.ys[i]!, outputs[i]!, batch.size)),
      );
      const losses = outputLosses(objective, batch.ys, outputs);
      return { losses: losses.map((loss) => loss ?? tf.scalar(0)), sums };
    });
    try {
      const losses = await Promise.all(scalars.losses.map((loss) => loss.data()));
      losses.forEach(([loss], i) => {
        lossSums[i]! += loss! * batch.size;
      });
      for (const [i, sums] of scalars.sums.entries()) {
        const read = await Promise.all(sums.map((sum) => sum.data()));
        read.forEach(([sum], j) => {
          metricSums[i]![j]! += sum!;
        });
      }
    } finally {
      tf.dispose(scalars as unknown as tf.TensorContainer);
    }
  });
  return report(model, objective, lossSums, metricSums, source.size);
}

async function report(
  model: LayersModel,
  objective: Objective,
  lossSums: number[],
  metricSums: number[][],
  size: number,
): Promise<Record<string, number>> {
  const result: Record<string, number> = {};
  if (objective.some(({ loss }) => loss)) {
    let loss = 0;
    objective.forEach(({ weight }, i) => {
      loss += (weight * lossSums[i]!) / size;
    });
    const terms = tf.tidy(() => penalties(model));
    for (const values of await Promise.all(terms.map((term) => term.data()))) loss += values[0]!;
    tf.dispose(terms);
    result.loss = loss;
  }
  objective.forEach(({ name, loss, metrics }, i) => {
    if (objective.length > 1 && loss) result[`${name}_loss`] = lossSums[i]! / size;
    metrics.forEach(({ key, count }, j) => {
      result[key] = count ? metricSums[i]![j]! : metricSums[i]![j]! / size;
    });
  });
  return result;
}

/**
 * Loss and metrics of a model, in inference mode. Batches count by their number of examples, so a smaller
 * last one is counted right; counts such as 'errors' are exact.
 *
 * Keys: `loss` (the weighted sum over the outputs, plus the layers' penalties) and `<metric>`; with
 * several outputs `loss`, `<output>_loss` and `<output>_<metric>`. Losses and metrics that are not given
 * are those of `model.compile`; a model that is not compiled and no loss give metrics only.
 *
 * @throws ShapeError, DataError where the data does not fit the model; OptionError for unknown options.
 *
 * @example
 * const { loss, accuracy } = await evaluate(model, test, {
 *   loss: 'categoricalCrossentropy', metrics: ['accuracy'], batchSize: 256,
 * });
 */
export async function evaluate(
  model: LayersModel,
  data: FitData,
  options: EvaluateOptions = {},
): Promise<Record<string, number>> {
  checkOptions('evaluate', options, ['loss', 'lossWeights', 'metrics', ...PASS_OPTIONS]);
  const batchSize = options.batchSize ?? 32;
  checkInteger('evaluate', 'batchSize', batchSize, 1);
  ensureBuilt('evaluate', model);
  const objective = objectiveOf('evaluate', model, options);
  if (objective.every(({ loss, metrics }) => !loss && metrics.length === 0)) {
    throw new OptionError('evaluate: neither a loss nor metrics. Give at least one of them.');
  }
  const source = await toSource(data, exampleShapes(model), 'evaluate');
  await checkData('evaluate', source, model, objective, batchSize);
  return evaluateSource(model, source, objective, options);
}

/** All values of one output of a model. */
export interface Prediction {
  /** Number of examples, then the shape of one output. */
  shape: number[];
  values: Float32Array;
}

/**
 * The outputs of a model for all examples, in inference mode, one entry per output. Labels are not looked
 * at. The values are outside the tensor memory, so there is nothing to dispose of.
 *
 * @throws ShapeError, DataError where the data does not fit the model; OptionError for unknown options.
 *
 * @example
 * const [logits] = await predictAll(teacher, train, { batchSize: 256 });
 * logits.shape; // [60000, 10]
 */
export async function predictAll(
  model: LayersModel,
  data: FitData,
  options: PassOptions = {},
): Promise<Prediction[]> {
  checkOptions('predictAll', options, PASS_OPTIONS);
  const batchSize = options.batchSize ?? 32;
  checkInteger('predictAll', 'batchSize', batchSize, 1);
  ensureBuilt('predictAll', model);
  const source = await toSource(data, exampleShapes(model), 'predictAll');
  await checkData('predictAll', source, model, undefined, batchSize);
  const predictions: Prediction[] = [];
  let done = 0;
  await eachBatch(source, options, 'predicting', async (batch) => {
    const outputs = tf.tidy(() =>
      forward(model, batch.xs, false).map((output) => tf.clone(output)),
    );
    try {
      for (const [i, output] of outputs.entries()) {
        const [, ...shape] = output.shape;
        const width = output.size / batch.size;
        predictions[i] ??= {
          shape: [source.size, ...shape],
          values: new Float32Array(source.size * width),
        };
        predictions[i].values.set(await output.data(), done * width);
      }
    } finally {
      tf.dispose(outputs);
    }
    done += batch.size;
  });
  return predictions;
}
