// Gathers what criteria look at: values, masks, gradients over data.
import type * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { OptionError, Random, ShapeError } from '@thimble/base';
import { type FitData, type ProbeOptions, probe, readValues } from '@thimble/core';
import type { Criterion, WeightCriterion, WeightEvidence } from './criterion.ts';
import type { MaskedWeight } from './masked-weights.ts';

/** Where gradients and activations come from. */
export interface EvidenceOptions {
  /** Examples with labels, for criteria that look at gradients or activations. */
  data?: FitData;
  /** The loss of the gradients; default that of `model.compile`. */
  loss?: ProbeOptions['loss'];
  /** How many of the examples to look at, from the first on; default what the criterion says, mostly 512. */
  examples?: number;
  /** Examples at a time; default 100. */
  batchSize?: number;
  /** For criteria that draw at random; default 0. */
  seed?: number | string;
  signal?: AbortSignal;
}

/** Names of {@link EvidenceOptions}. */
export const EVIDENCE_OPTIONS: readonly string[] = [
  'data',
  'loss',
  'examples',
  'batchSize',
  'seed',
  'signal',
];

/** Examples to look at where neither caller nor criterion says. */
export const DEFAULT_EXAMPLES = 512;

/** The data of the options; throws where a criterion needs it and there is none. */
export function requireData(owner: string, criterion: string, options: EvidenceOptions): FitData {
  if (options.data === undefined) {
    throw new OptionError(
      `${owner}: the criterion ${criterion} looks at data. Give the option data: a data set or { xs, ys }.`,
    );
  }
  return options.data;
}

/** Values that live outside the model: running scores and initial values, by the name of the weight. */
export interface Recorded {
  history?: ReadonlyMap<string, Float32Array>;
  initial?: ReadonlyMap<string, Float32Array>;
}

/** A weight that a criterion is to look at, masked or not. */
export interface ScoredTarget extends Pick<WeightEvidence, 'layer' | 'weight' | 'shape' | 'axes'> {
  /** Unique in the model: 'layer/kernel'. */
  name: string;
  /** The stored weight, for gradients by it. */
  variable: tf.Variable;
  /** The values that the layer computes with, and what is kept of them. */
  read(): Pick<WeightEvidence, 'values' | 'kept'>;
}

/** A masked weight as a criterion looks at it. */
export function maskedTarget({ name, weight, mask }: MaskedWeight): ScoredTarget {
  return {
    name,
    layer: weight.layer.name,
    weight: weight.weight,
    shape: weight.variable.shape,
    axes: weight.axes,
    variable: weight.variable,
    read: () => ({
      values: readValues(() => weight.bake()),
      kept: Uint8Array.from(mask.dataSync()),
    }),
  };
}

/** What a weight criterion is to look at, for each of the weights. */
export async function weightEvidence(
  owner: string,
  model: LayersModel,
  weights: readonly ScoredTarget[],
  criterion: WeightCriterion,
  options: EvidenceOptions,
  recorded: Recorded = {},
): Promise<WeightEvidence[]> {
  const { needs, name } = criterion;
  const gradients = needs.includes('gradients')
    ? await meanGradients(owner, model, weights, criterion, options)
    : undefined;
  const record = (need: 'history' | 'initial', target: ScoredTarget) => {
    if (!needs.includes(need)) return {};
    const values = recorded[need]?.get(target.name);
    if (!values) throw missing(owner, name, need);
    if (values.length !== target.variable.size) {
      throw new ShapeError(
        `${owner}: ${need} has ${values.length} values for ${target.name}, which has ${target.variable.size}.`,
      );
    }
    return { [need]: values };
  };
  return weights.map((each, i) => ({
    layer: each.layer,
    weight: each.weight,
    shape: each.shape,
    axes: each.axes,
    ...each.read(),
    random: new Random(options.seed ?? 0, 'prune', i),
    ...(gradients ? { gradient: gradients[i]! } : {}),
    ...record('history', each),
    ...record('initial', each),
  }));
}

/** The mean over the examples of the loss's gradient by each of the weights. */
async function meanGradients(
  owner: string,
  model: LayersModel,
  weights: readonly ScoredTarget[],
  criterion: WeightCriterion,
  options: EvidenceOptions,
): Promise<Float32Array[]> {
  const data = requireData(owner, criterion.name, options);
  const variables = weights.map(({ variable }) => variable);
  const sums = variables.map(({ size }) => new Float32Array(size));
  let seen = 0;
  await probe(
    model,
    data,
    {
      variables,
      loss: options.loss,
      limit: options.examples ?? criterion.examples ?? DEFAULT_EXAMPLES,
      batchSize: options.batchSize ?? 100,
      progress: false,
      signal: options.signal,
    },
    async ({ batch, gradients }) => {
      seen += batch.size;
      for (const [i, gradient] of gradients.entries()) {
        const values = await gradient.data();
        const sum = sums[i]!;
        for (let k = 0; k < sum.length; k++) sum[k]! += values[k]! * batch.size;
      }
    },
  );
  for (const sum of sums) for (let k = 0; k < sum.length; k++) sum[k]! /= seen;
  return sums;
}

/**
 * Throws where a criterion needs what is not there, before anything is done. `recorded` tells what there
 * will be.
 */
export function checkEvidence(
  owner: string,
  model: LayersModel,
  { name, level, needs }: Criterion,
  options: EvidenceOptions,
  recorded: readonly ('history' | 'initial')[],
): void {
  const wanted: readonly string[] = needs;
  if (level === 'channel' ? wanted.length > 0 : wanted.includes('gradients')) {
    requireData(owner, name, options);
    const { loss } = model as { loss?: unknown };
    const differentiates = wanted.includes('gradients') || wanted.includes('taylor');
    if (differentiates && options.loss === undefined && loss === undefined) {
      throw new OptionError(
        `${owner}: the criterion ${name} looks at gradients of a loss. Give the option loss, or compile ` +
          'the model with one.',
      );
    }
  }
  for (const need of ['history', 'initial'] as const) {
    if (wanted.includes(need) && !recorded.includes(need)) throw missing(owner, name, need);
  }
}

function missing(owner: string, criterion: string, need: 'history' | 'initial'): OptionError {
  const remedy =
    need === 'history'
      ? 'it looks at training steps: use it with gradualPruning in fit'
      : 'give the option initial: the weights before training';
  return new OptionError(`${owner}: the criterion ${criterion} has nothing to look at; ${remedy}.`);
}
