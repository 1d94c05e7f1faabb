// One optimizer step: micro-batches, hooks, clipping, the optimizer, the transforms' updates, constraints.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel, LayerVariable } from '@tensorflow/tfjs-layers';
import { hashSeed, NonFiniteError, Random, withSeed } from '@thimble/base';
import { disposeBatch, drawBatch } from './batches.ts';
import { setMoment } from './context.ts';
import { clipByNorm, clipByValue, GradientMean } from './gradients.ts';
import type { Layer } from './internals.ts';
import { trainableWeights, variableOf } from './model-weights.ts';
import type { OptimizerState } from './optimizer-state.ts';
import { learningRateOf } from './optimizers.ts';
import { parametrizedWeights } from './parametrize.ts';
import type {
  Batch,
  BatchSource,
  Step,
  StepContext,
  StepResult,
  TrainingHooks,
} from './training.ts';
import { walkLayers } from './walk.ts';

/** What stays the same over the steps of a run. */
export interface StepSetup {
  model: LayersModel;
  source: BatchSource;
  step: Step;
  hooks: readonly TrainingHooks[];
  optimizer: tf.Optimizer;
  slots: OptimizerState;
  clipNorm: number | undefined;
  clipValue: number | undefined;
  seed: number | string;
  seededDropouts: SeededDropout[];
}

/** What came out of a step: means over its examples, and sums. */
export interface StepReport {
  examples: number;
  means: Record<string, number>;
  totals: Record<string, number>;
}

type SeededDropout = Layer & { seed: number };

/** The dropout layers that were given a seed: in tfjs these repeat one mask at every step. */
export function seededDropouts(model: LayersModel): SeededDropout[] {
  return walkLayers(model).filter((layer): layer is SeededDropout => {
    const { seed, rate } = layer as Layer & { seed?: unknown; rate?: unknown };
    return typeof seed === 'number' && typeof rate === 'number';
  });
}

/** Runs `body` with all of tfjs's randomness a function of seed, step and micro-batch. */
function seeded<T>({ seed, seededDropouts }: StepSetup, step: number, part: number, body: () => T) {
  const seeds = seededDropouts.map((layer) => layer.seed);
  for (const layer of seededDropouts) layer.seed = hashSeed(layer.seed, step, part);
  try {
    return withSeed(new Random(seed, 'step', step, part), body);
  } finally {
    seededDropouts.forEach((layer, i) => {
      layer.seed = seeds[i]!;
    });
  }
}

async function readScalars(
  scalars: Record<string, tf.Scalar>,
): Promise<[name: string, value: number][]> {
  return Promise.all(
    Object.entries(scalars).map(
      async ([name, scalar]) => [name, (await scalar.data())[0]!] as const,
    ),
  ) as Promise<[string, number][]>;
}

/** The weights that the optimizer does not touch, as they were; batch norm changes them in passing. */
class Bystanders {
  readonly #variables: tf.Variable[];
  readonly #copies: tf.Tensor[];

  constructor(model: LayersModel) {
    this.#variables = model.nonTrainableWeights.map(variableOf);
    this.#copies = this.#variables.map((variable) => tf.clone(variable));
  }

  putBack(): void {
    this.#variables.forEach((variable, i) => {
      variable.assign(this.#copies[i]!);
    });
  }

  dispose(): void {
    tf.dispose(this.#copies);
  }
}

/** The step, within the hooks that want to be around it. */
function hookedStep({ step, hooks }: StepSetup, context: StepContext): StepResult {
  return hooks.reduceRight<() => StepResult>(
    (run, hook) => (hook.step ? () => hook.step!(run, context) : run),
    () => step(context, hooks),
  )();
}

function applyGradients(
  { model, hooks, optimizer, slots, clipNorm, clipValue }: StepSetup,
  weights: LayerVariable[],
  raw: tf.Tensor[],
  context: StepContext,
): void {
  tf.tidy(() => {
    const { variables } = context;
    let gradients = raw;
    for (const hook of hooks) gradients = hook.gradients?.(gradients, context) ?? gradients;
    if (clipValue !== undefined) gradients = clipByValue(gradients, clipValue);
    if (clipNorm !== undefined) gradients = clipByNorm(gradients, clipNorm);
    const trained = new Set(variables);
    const updated = parametrizedWeights(model).filter(
      (weight) => weight.hasUpdate && weight.variables.some((each) => trained.has(each)),
    );
    const before = updated.map(({ variable }) => tf.clone(variable));
    slots.align(variables);
    optimizer.applyGradients(variables.map(({ name }, i) => ({ name, tensor: gradients[i]! })));
    updated.forEach((weight, i) => {
      const { variable } = weight;
      const kept = weight.update(before[i]!, variable);
      if (kept !== variable) variable.assign(kept);
    });
    // tfjs's optimizers write past LayerVariable.write, the only place where it applies constraints.
    weights.forEach((weight, i) => {
      if (weight.constraint) variables[i]!.assign(weight.constraint.apply(variables[i]!));
    });
  });
}

/**
 * Takes one optimizer step over the examples in `parts`, one micro-batch each. When it throws, before the
 * hooks' `afterStep`, the weights are as they were.
 */
export async function takeStep(
  setup: StepSetup,
  parts: Uint32Array[],
  at: { epoch: number; step: number; stepInEpoch: number },
): Promise<StepReport> {
  const { model, source, hooks, seed } = setup;
  const weights = trainableWeights(model);
  const variables = [...weights, ...hooks.flatMap((hook) => hook.weights?.() ?? [])].map(
    variableOf,
  );
  const report: StepReport = { examples: 0, means: {}, totals: {} };
  const mean = parts.length > 1 ? new GradientMean() : undefined;
  const bystanders = new Bystanders(model);
  let batch: Batch | undefined;
  let gradients: tf.Tensor[] = [];
  let applied = false;
  setMoment({ step: at.step, seed, learningRate: learningRateOf(setup.optimizer) });
  try {
    let context: StepContext | undefined;
    for (const [part, indices] of parts.entries()) {
      if (batch) disposeBatch(batch);
      batch = undefined;
      batch = drawBatch(source, indices, new Random(seed, 'batch', at.step, part));
      const now: StepContext = {
        model,
        variables,
        step: at.step,
        epoch: at.epoch,
        batch,
        random: (key) => new Random(seed, 'hook', at.step, part, key),
        resetOptimizer: () => setup.slots.reset(),
      };
      context = now;
      const result = seeded(setup, at.step, part, () =>
        tf.tidy(() => hookedStep(setup, now) as never),
      ) as StepResult;
      gradients = result.gradients;
      await collect(report, result, indices.length, at);
      if (mean) {
        mean.add(gradients, indices.length);
        gradients = [];
      }
    }
    if (mean) gradients = mean.mean();
    seeded(setup, at.step, parts.length, () => applyGradients(setup, weights, gradients, context!));
    applied = true;
    for (const hook of hooks) await hook.afterStep?.(context!);
  } finally {
    if (!applied) bystanders.putBack();
    bystanders.dispose();
    if (batch) disposeBatch(batch);
    tf.dispose(gradients);
    mean?.dispose();
  }
  for (const key of Object.keys(report.means)) report.means[key]! /= report.examples;
  return report;
}

/** Adds the figures of a micro-batch to the report and disposes of their tensors. */
async function collect(
  report: StepReport,
  { loss, logs, totals = {} }: ReturnType<Step>,
  examples: number,
  { epoch, stepInEpoch }: { epoch: number; stepInEpoch: number },
): Promise<void> {
  try {
    const means = await readScalars({ loss, ...logs });
    const value = means[0]![1];
    if (!Number.isFinite(value)) {
      throw new NonFiniteError(
        `fit: the loss is ${value} in epoch ${epoch + 1}, step ${stepInEpoch + 1}. The weights are as before this step. Lower the learning rate, clip the gradients (clipNorm), or check data and labels.`,
      );
    }
    report.examples += examples;
    for (const [name, mean] of means) {
      report.means[name] = (report.means[name] ?? 0) + mean * examples;
    }
    for (const [name, total] of await readScalars(totals)) {
      report.totals[name] = (report.totals[name] ?? 0) + total;
    }
  } finally {
    tf.dispose([loss, ...Object.values(logs), ...Object.values(totals)]);
  }
}
