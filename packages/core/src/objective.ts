// What a model is trained for and measured by: a loss, a weight and metrics for each output.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { OptionError } from '@thimble/base';
import { type LossFunction, type LossName, type LossSpec, lossSpec } from './losses.ts';
import { type MetricFunction, type MetricSpec, metricSpec } from './metrics.ts';

/** One value for all outputs, a list with one for each, or a record by the outputs' names. */
export type PerOutput<T> = T | readonly T[] | Readonly<Record<string, T>>;
type Metrics = string | MetricFunction | readonly (string | MetricFunction)[];

/** Losses and metrics, as `fit`, `evaluate` and `supervisedStep` take them. */
export interface ObjectiveOptions {
  /** Name of a loss or a function (yTrue, yPred) => tensor; several for several outputs. */
  loss?: PerOutput<LossName | LossFunction | (string & {})>;
  /** Weight of each output's loss in the total, in order or by name; default 1. */
  lossWeights?: readonly number[] | Readonly<Record<string, number>>;
  /** Names or functions, for every output; or a record by output name. */
  metrics?: Metrics | Readonly<Record<string, Metrics>>;
}

/** One output of a model with its loss, weight and metrics. */
export interface OutputObjective {
  readonly name: string;
  /** Absent where a record of losses leaves the output out: it is not trained. */
  readonly loss: LossSpec | undefined;
  readonly weight: number;
  /** The metrics with the keys under which they are reported. */
  readonly metrics: readonly (MetricSpec & { key: string })[];
}

/** The objectives of all outputs, in the model's order. */
export type Objective = readonly OutputObjective[];

function listOf<T>(value: T | readonly T[] | undefined): readonly T[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value : [value as T];
}

function checkNames(owner: string, what: string, keys: string[], outputs: string[]): void {
  for (const key of keys) {
    if (!outputs.includes(key)) {
      throw new OptionError(
        `${owner}: ${what} names "${key}", which is no output. Outputs: ${outputs.join(', ')}.`,
      );
    }
  }
}

/** The value for each output of an option given once, as a list or as a record. */
function perOutput<T>(
  owner: string,
  what: string,
  value: PerOutput<T> | undefined,
  outputs: string[],
): (T | undefined)[] {
  if (Array.isArray(value)) {
    if (value.length !== outputs.length) {
      throw new OptionError(
        `${owner}: ${what} has ${value.length} entries, but the model has ${outputs.length} outputs (${outputs.join(', ')}).`,
      );
    }
    return [...value];
  }
  if (typeof value === 'object' && value !== null) {
    checkNames(owner, what, Object.keys(value), outputs);
    return outputs.map((name) => (value as Record<string, T>)[name]);
  }
  return outputs.map(() => value as T | undefined);
}

function metricsPerOutput(
  owner: string,
  metrics: ObjectiveOptions['metrics'],
  outputs: string[],
): readonly (string | MetricFunction)[][] {
  if (typeof metrics === 'object' && !Array.isArray(metrics)) {
    const record = metrics as Record<string, Metrics>;
    checkNames(owner, 'metrics', Object.keys(record), outputs);
    return outputs.map((name) => [...listOf(record[name])]);
  }
  const all = listOf(metrics as Metrics | undefined);
  return outputs.map(() => [...all]);
}

/**
 * Puts losses, weights and metrics together for a model; what is missing in `options` comes from
 * `model.compile`. Keys: `<metric>` for one output, `<output>_<metric>` for several.
 */
export function objectiveOf(
  owner: string,
  model: LayersModel,
  options: ObjectiveOptions,
): Objective {
  const names = model.outputNames;
  const compiled = model as {
    loss?: ObjectiveOptions['loss'];
    metrics?: ObjectiveOptions['metrics'];
  };
  const loss = perOutput(owner, 'loss', options.loss ?? compiled.loss, names);
  const weights = perOutput<number>(owner, 'lossWeights', options.lossWeights, names);
  const metrics = metricsPerOutput(owner, options.metrics ?? compiled.metrics ?? [], names);
  return names.map((name, i) => {
    const spec = loss[i] === undefined ? undefined : lossSpec(owner, loss[i]);
    const taken = new Set<string>();
    return {
      name,
      loss: spec,
      weight: weights[i] ?? 1,
      metrics: metrics[i]!.map((metric) => {
        const found = metricSpec(owner, metric, spec);
        const base = names.length > 1 ? `${name}_${found.name}` : found.name;
        let key = base;
        for (let n = 2; taken.has(key); n++) key = `${base}_${n}`;
        taken.add(key);
        return { ...found, key };
      }),
    };
  });
}

/** Throws unless some output has a loss. */
export function requireLoss(owner: string, objective: Objective): void {
  if (objective.every(({ loss }) => loss === undefined)) {
    throw new OptionError(
      `${owner}: no loss. Give the option loss, for example 'categoricalCrossentropy', or compile the model with one.`,
    );
  }
}

/** The keys under which losses and metrics are reported. */
export function reportedKeys(objective: Objective): string[] {
  const several = objective.length > 1;
  return [
    ...(objective.some(({ loss }) => loss) ? ['loss'] : []),
    ...objective.flatMap(({ name, loss, metrics }) => [
      ...(several && loss ? [`${name}_loss`] : []),
      ...metrics.map(({ key }) => key),
    ]),
  ];
}

/** The mean loss of each output that has one. */
export function outputLosses(
  objective: Objective,
  ys: tf.Tensor[],
  outputs: tf.Tensor[],
): (tf.Scalar | undefined)[] {
  return objective.map(({ loss }, i) =>
    loss ? (tf.mean(loss.call(ys[i]!, outputs[i]!)) as tf.Scalar) : undefined,
  );
}

/** The metric's sum over the examples of a batch of `size`. */
export function metricSum(
  metric: MetricSpec,
  yTrue: tf.Tensor,
  yPred: tf.Tensor,
  size: number,
): tf.Scalar {
  const values = metric.call(yTrue, yPred);
  const sum = tf.sum(values) as tf.Scalar;
  return values.size === size || metric.count ? sum : tf.mul(sum, size / values.size);
}
