// The training loop; there is no other.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { Random, startProgress } from '@thimble/base';
import type { FitData } from './batches.ts';
import { announce, introduce, type Logs, showModel, takeLeave } from './callbacks.ts';
import type { Checkpoint } from './checkpoint.ts';
import { releaseMoment } from './context.ts';
import { evaluateSource } from './evaluate.ts';
import { type FitOptions, type ResolvedOptions, resolveOptions } from './fit-options.ts';
import { ensureBuilt, variableOf } from './model-weights.ts';
import { reportedKeys } from './objective.ts';
import { OptimizerState } from './optimizer-state.ts';
import { chooseOptimizer, setLearningRate } from './optimizers.ts';
import { type Position, paramsOf, prepare, type Run, restoreHooks, resume, save } from './run.ts';
import { type StepReport, takeStep } from './train-step.ts';
import { checkWeights } from './weight-values.ts';
import { breather } from './yielding.ts';

/** What happened in training. */
export interface History {
  /** Epochs completed. */
  epochs: number;
  /** One number per epoch under each key: `loss`, `<metric>`, `val_loss` ... */
  logs: Record<string, number[]>;
  /** Optimizer steps taken. */
  steps: number;
  /** Time taken, earlier runs of the same checkpoint included. */
  seconds: number;
  /** True when early stopping or a callback ended training before the last epoch. */
  stopped: boolean;
  /** With early stopping: the epoch of the best value, from 0. */
  bestEpoch?: number;
}

/**
 * Trains a model in place.
 *
 * - Data: a source of batches (a data set of `@thimble/data`), or tensors or typed arrays as `{ xs, ys }`,
 *   `{ x, y }`, `{ images, labels }` or `[xs, ys]`. It is checked before training begins. Examples are
 *   shuffled anew in every epoch.
 * - Loss, metrics and optimizer come from the options, else from `model.compile`; compiling is not needed.
 *   An optimizer that is given or compiled keeps its state between calls, one given by name does not.
 * - The history has `loss` and `<metric>`; with several outputs `loss` (the weighted sum), `<output>_loss`
 *   and `<output>_<metric>`; with validation data the same again as `val_...`.
 * - The same seed on the same backend gives bit-identical weights.
 * - With `checkpoint`, an interrupted run goes on where it stopped and ends bit-identical to an unbroken
 *   one; a finished one returns at once; one that is finished and called with more epochs goes on. The
 *   restored optimizer has the learning rate that it had then.
 * - Weight constraints are applied after every step, which tfjs's own fit leaves out, and the layers'
 *   penalties are added to the loss once each.
 *
 * @throws OptionError for unknown or impossible options; ShapeError, DataError where the data does not fit
 *   the model or the loss; NonFiniteError when the loss becomes NaN or infinite, with the weights as they
 *   were before that step; CheckpointError when the checkpoint is damaged or of another run; the signal's
 *   reason when aborted.
 *
 * @example
 * const history = await fit(model, train, {
 *   epochs: 10, batchSize: 64, optimizer: 'adam', loss: 'categoricalCrossentropy',
 *   metrics: ['accuracy'], validationData: test, checkpoint: 'run/checkpoint',
 *   earlyStopping: { monitor: 'val_accuracy', patience: 3 },
 * });
 * history.logs.val_accuracy.at(-1);
 */
export async function fit(
  model: LayersModel,
  data: FitData,
  options: FitOptions = {},
): Promise<History> {
  ensureBuilt('fit', model);
  const resolved = resolveOptions(model, options);
  resolved.signal?.throwIfAborted();
  const { optimizer, owned } = chooseOptimizer(resolved.optimizer, model);
  const slots = OptimizerState.of(optimizer);
  const { callbacks } = resolved;
  try {
    showModel(callbacks, model);
    const run = await prepare(model, data, resolved, { optimizer, slots });
    const saved = await resume(run);
    introduce(callbacks, paramsOf(run));
    model.stopTraining = false;
    await announce(callbacks, 'onTrainBegin', {});
    await train(run, saved);
    await announce(callbacks, 'onTrainEnd', {});
    return historyOf(run);
  } finally {
    releaseMoment();
    const own = callbacks.flatMap((callback) => callback.weights?.() ?? []);
    if (own.length > 0) slots.forget(own.map(variableOf));
    takeLeave(callbacks);
    if (owned) slots.dispose();
  }
}

function historyOf({ at, earlyStopping, seconds }: Run): History {
  const { epoch, logs, step, stopped } = at;
  const history = { epochs: epoch, logs, steps: step, seconds: seconds(), stopped };
  return earlyStopping ? { ...history, bestEpoch: earlyStopping.bestEpoch } : history;
}

/** From where the run stands to its end. */
async function train(run: Run, saved: Checkpoint | undefined): Promise<void> {
  const { model, options, at, earlyStopping, checkpointing } = run;
  const { callbacks, epochs } = options;
  const breathe = breather();
  const over = () => at.stopped || at.epoch >= epochs;
  const wasOver = over();
  const midEpoch = at.stepInEpoch > 0;
  if (saved && !midEpoch) await restoreHooks(run, saved);
  while (!over()) {
    await announce(callbacks, 'onEpochBegin', at.epoch, {});
    if (saved && midEpoch && at.epoch === saved.epoch) await restoreHooks(run, saved);
    await trainEpoch(run, breathe);
    await endEpoch(run);
    if (!over() && checkpointing && at.epoch % checkpointing.everyEpochs === 0) await save(run);
  }
  if (!wasOver) await save(run);
  earlyStopping?.finish(model);
}

/** The rest of an epoch's steps. */
async function trainEpoch(run: Run, breathe: () => Promise<boolean>): Promise<void> {
  const { model, options, source, stepsPerEpoch, at, setup, checkpointing, earlyStopping } = run;
  const { signal, callbacks, seed, epochs, learningRate } = options;
  const order = new Random(seed, 'shuffle', at.epoch).permutation(source.size);
  const task = `epoch ${at.epoch + 1}/${epochs}`;
  const progress = startProgress(options.progress, task, stepsPerEpoch);
  try {
    while (at.stepInEpoch < stepsPerEpoch && !model.stopTraining) {
      if (signal?.aborted) {
        await save(run);
        signal.throwIfAborted();
      }
      const begun = performance.now();
      const { epoch, step, stepInEpoch } = at;
      if (typeof learningRate === 'function') {
        setLearningRate(setup.optimizer, learningRate({ epoch, step, stepsPerEpoch, epochs }));
      }
      const parts = batchesOf(order, stepInEpoch, options);
      const size = parts.reduce((sum, part) => sum + part.length, 0);
      const about = { batch: stepInEpoch, size };
      await announce(callbacks, 'onBatchBegin', stepInEpoch, { ...about });
      const report = await takeStep(setup, parts, { epoch, step, stepInEpoch });
      addUp(at, report);
      if (step === 0) earlyStopping?.check([...Object.keys(meansOf(at)), ...validationKeys(run)]);
      const logs = { ...about, ...report.means, ...report.totals };
      await announce(callbacks, 'onBatchEnd', stepInEpoch, logs);
      progress.update(at.stepInEpoch, {
        ...meansOf(at),
        'ms/step': performance.now() - begun,
      });
      if (await breathe()) await announce(callbacks, 'onYield', epoch, stepInEpoch, { ...logs });
      const inside = at.stepInEpoch < stepsPerEpoch;
      if (inside && checkpointing && at.step % checkpointing.everySteps === 0) await save(run);
    }
  } finally {
    progress.stop();
  }
}

/** The micro-batches of a step. */
function batchesOf(
  order: Uint32Array,
  stepInEpoch: number,
  { batchSize, accumulate }: ResolvedOptions,
): Uint32Array[] {
  const first = stepInEpoch * batchSize * accumulate;
  const end = Math.min(first + batchSize * accumulate, order.length);
  const parts: Uint32Array[] = [];
  for (let start = first; start < end; start += batchSize) {
    parts.push(order.slice(start, Math.min(start + batchSize, end)));
  }
  return parts;
}

function addUp(at: Position, { examples, means, totals }: StepReport): void {
  const { sums } = at;
  sums.examples += examples;
  for (const [key, mean] of Object.entries(means)) {
    sums.means[key] = (sums.means[key] ?? 0) + mean * examples;
  }
  for (const [key, total] of Object.entries(totals)) {
    sums.totals[key] = (sums.totals[key] ?? 0) + total;
  }
  at.step++;
  at.stepInEpoch++;
}

/** The epoch's figures so far. */
function meansOf({ sums }: Position): Logs {
  const means = Object.entries(sums.means).map(([key, sum]) => [key, sum / sums.examples]);
  return { ...Object.fromEntries(means), ...sums.totals };
}

function validationKeys({ options, validation }: Run): string[] {
  return validation ? reportedKeys(options.objective).map((key) => `val_${key}`) : [];
}

/** Validation, early stopping, callbacks, history. */
async function endEpoch(run: Run): Promise<void> {
  const { model, options, at, earlyStopping } = run;
  if (at.sums.examples === 0) {
    at.stopped = true;
    return;
  }
  await checkWeights(model, `after epoch ${at.epoch + 1}`);
  const logs = { ...meansOf(at), ...(await validate(run)) };
  const enough = await earlyStopping?.epochEnds(model, at.epoch, logs);
  await announce(options.callbacks, 'onEpochEnd', at.epoch, logs);
  for (const [key, value] of Object.entries(logs)) {
    // A figure that a callback adds later than the first epoch has none before.
    at.logs[key] ??= Array.from({ length: at.epoch }, () => Number.NaN);
    at.logs[key].push(value);
  }
  at.epoch++;
  at.stepInEpoch = 0;
  at.sums = { examples: 0, means: {}, totals: {} };
  at.stopped = enough === true || model.stopTraining;
}

async function validate(run: Run): Promise<Logs> {
  const { model, options, validation } = run;
  if (!validation) return {};
  const { signal, validationBatchSize, objective } = options;
  try {
    const result = await evaluateSource(model, validation, objective, {
      batchSize: validationBatchSize,
      progress: false,
      signal,
    });
    return Object.fromEntries(Object.entries(result).map(([key, n]) => [`val_${key}`, n]));
  } catch (error) {
    if (signal?.aborted) await save(run);
    throw error;
  }
}
