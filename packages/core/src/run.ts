// A run of the training loop: what it is made of, its checkpoint, and going on from one.
import type { LayersModel, LayerVariable } from '@tensorflow/tfjs-layers';
import { type FitData, toSource } from './batches.ts';
import type { RunParams } from './callbacks.ts';
import { checkData, exampleShapes } from './check-data.ts';
import {
  type Checkpoint,
  type Checkpointing,
  checkFingerprint,
  checkpointing,
  readFrom,
  writeCheckpoint,
} from './checkpoint.ts';
import { EarlyStopping } from './early-stopping.ts';
import type { ResolvedOptions } from './fit-options.ts';
import { placedLayers, placedWeights, variableOf } from './model-weights.ts';
import { reportedKeys } from './objective.ts';
import { setLearningRate } from './optimizers.ts';
import { stepFor } from './supervised-step.ts';
import { type StepSetup, seededDropouts } from './train-step.ts';
import type { BatchSource, StateValue, TrainingHooks } from './training.ts';
import { readTrainable, readWeights, writeTrainable, writeWeights } from './weight-values.ts';

/** Where a run stands. */
export type Position = Omit<
  Checkpoint,
  'fingerprint' | 'weights' | 'trainable' | 'optimizer' | 'earlyStopping' | 'hooks' | 'seconds'
>;

/** A run under way. */
export interface Run {
  readonly model: LayersModel;
  readonly options: ResolvedOptions;
  readonly source: BatchSource;
  readonly validation: BatchSource | undefined;
  readonly setup: StepSetup;
  readonly stepsPerEpoch: number;
  readonly earlyStopping: EarlyStopping | undefined;
  readonly checkpointing: Checkpointing | undefined;
  readonly fingerprint: Record<string, StateValue>;
  readonly at: Position;
  /** Time taken, earlier runs included. */
  seconds: () => number;
}

/** Checks the data and puts a run together. */
export async function prepare(
  model: LayersModel,
  data: FitData,
  options: ResolvedOptions,
  { optimizer, slots }: Pick<StepSetup, 'optimizer' | 'slots'>,
): Promise<Run> {
  const { batchSize, accumulate, validationData, objective, learningRate, clipNorm } = options;
  const shapes = exampleShapes(model);
  const source = await toSource(data, shapes, 'fit');
  const checked = options.step ? undefined : objective;
  await checkData('fit', source, model, checked, batchSize);
  const validation =
    validationData && (await toSource(validationData, shapes, 'fit: validationData'));
  if (validation) {
    const size = options.validationBatchSize;
    await checkData('fit: validationData', validation, model, objective, size);
  }
  if (typeof learningRate === 'number') setLearningRate(optimizer, learningRate);
  const { earlyStopping, checkpoint, seed, clipValue } = options;
  const hooks = options.callbacks as readonly TrainingHooks[];
  const begun = performance.now();
  const run: Run = {
    model,
    options,
    source,
    validation,
    setup: {
      model,
      source,
      step: options.step ?? stepFor(objective),
      hooks,
      optimizer,
      slots,
      clipNorm,
      clipValue,
      seed,
      seededDropouts: seededDropouts(model),
    },
    stepsPerEpoch: Math.ceil(source.size / (batchSize * accumulate)),
    earlyStopping: earlyStopping && new EarlyStopping(earlyStopping, validation !== undefined),
    checkpointing: checkpoint === undefined ? undefined : checkpointing(checkpoint),
    fingerprint: {},
    at: {
      epochs: options.epochs,
      stopped: false,
      epoch: 0,
      stepInEpoch: 0,
      step: 0,
      sums: { examples: 0, means: {}, totals: {} },
      logs: {},
    },
    seconds: () => (performance.now() - begun) / 1000,
  };
  Object.assign(run.fingerprint, fingerprintOf(run));
  return run;
}

/** What must be the same when a run goes on; a number of epochs need not be. */
function fingerprintOf({ model, options, source, validation, setup }: Run) {
  const { learningRate, objective, batchSize, accumulate, seed, clipNorm, clipValue } = options;
  const { learningRate: _, ...config } = setup.optimizer.getConfig() as Record<string, StateValue>;
  return {
    layers: [...placedLayers(model).values()].map((layer) => layer.getClassName()).join(' '),
    examples: source.size,
    validationExamples: validation?.size ?? null,
    batchSize,
    accumulate,
    seed,
    optimizer: `${setup.optimizer.getClassName()} ${JSON.stringify(config)}`,
    learningRate: typeof learningRate === 'function' ? 'schedule' : (learningRate ?? null),
    step: options.step ? 'custom' : 'supervised',
    losses: objective.map(({ loss, weight }) => (loss ? [loss.name, weight] : null)),
    metrics: objective.flatMap(({ metrics }) => metrics.map(({ key }) => key)),
    clipNorm: clipNorm ?? null,
    clipValue: clipValue ?? null,
    earlyStopping: (options.earlyStopping ?? null) as StateValue,
    callbacksWithState: setup.hooks.filter((hook) => hook.state).map((h) => h.constructor.name),
  } satisfies Record<string, StateValue>;
}

/** What callbacks are told about a run. */
export function paramsOf({ options, source, stepsPerEpoch, validation, at }: Run): RunParams {
  const keys = reportedKeys(options.objective);
  return {
    epochs: options.epochs,
    initialEpoch: at.epoch,
    samples: source.size,
    steps: stepsPerEpoch,
    batchSize: options.batchSize,
    verbose: 0,
    doValidation: validation !== undefined,
    metrics: validation ? [...keys, ...keys.map((key) => `val_${key}`)] : keys,
  };
}

/** Puts everything but the hooks back to where the checkpoint was written, if there is one. */
export async function resume(run: Run): Promise<Checkpoint | undefined> {
  const { model, checkpointing, at, setup, earlyStopping } = run;
  const saved = checkpointing && (await readFrom(checkpointing));
  if (!saved) return undefined;
  checkFingerprint(checkpointing.name, saved.fingerprint, run.fingerprint);
  writeWeights(model, saved.weights);
  writeTrainable(model, saved.trainable);
  setup.slots.restore(saved.optimizer, lastingNames(run).variableOf);
  earlyStopping?.restore(saved.earlyStopping);
  const { epoch, stepInEpoch, step, sums, logs } = saved;
  const stopped = saved.stopped && run.options.epochs <= saved.epochs;
  Object.assign(at, { epoch, stepInEpoch, step, sums, logs, stopped });
  const seconds = run.seconds;
  run.seconds = () => saved.seconds + seconds();
  return saved;
}

/** From tfjs's names of variables, which depend on what was built before, to lasting ones and back. */
function lastingNames({ model, setup }: Run) {
  const lasting = new Map<string, string>();
  const current = new Map<string, string>();
  const note = (weight: LayerVariable, place: string) => {
    const { name } = variableOf(weight);
    lasting.set(name, place);
    current.set(place, name);
  };
  placedWeights(model).forEach(note);
  setup.hooks.forEach((hook, i) => {
    hook.weights?.().forEach((weight, k) => {
      note(weight, `callback ${i}/${k}`);
    });
  });
  return {
    nameOf: (variable: string) => lasting.get(variable) ?? variable,
    variableOf: (place: string) => current.get(place),
  };
}

/** Writes a run's checkpoint, if it has one. */
export async function save(run: Run): Promise<void> {
  const { model, setup, at, checkpointing, earlyStopping, fingerprint } = run;
  if (!checkpointing) return;
  const hooks: Record<string, StateValue> = {};
  for (const [i, hook] of setup.hooks.entries()) {
    if (hook.state) hooks[i] = await hook.state();
  }
  await writeCheckpoint(checkpointing.store, {
    ...at,
    fingerprint,
    seconds: run.seconds(),
    weights: await readWeights(model),
    trainable: readTrainable(model),
    optimizer: await setup.slots.capture(lastingNames(run).nameOf),
    earlyStopping: earlyStopping?.state() ?? null,
    hooks,
  });
}

/** Gives the hooks their saved state back. */
export async function restoreHooks({ setup }: Run, saved: Checkpoint): Promise<void> {
  for (const [i, state] of Object.entries(saved.hooks))
    await setup.hooks[Number(i)]?.restore?.(state);
}
