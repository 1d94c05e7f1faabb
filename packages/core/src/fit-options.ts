// The options of `fit`, checked and completed.
import type * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  checkInteger,
  checkOptions,
  checkRange,
  OptionError,
  type ProgressOption,
} from '@thimble/base';
import type { FitData } from './batches.ts';
import { checkCallbacks, type FitCallback } from './callbacks.ts';
import type { CheckpointOptions } from './checkpoint.ts';
import type { EarlyStoppingOptions } from './early-stopping.ts';
import { type Objective, type ObjectiveOptions, objectiveOf, requireLoss } from './objective.ts';
import type { OptimizerName } from './optimizers.ts';
import type { Schedule } from './schedules.ts';
import type { Step } from './training.ts';

/** Options of `fit`; all are optional. */
export interface FitOptions extends ObjectiveOptions {
  /** Times to go through the data; default 1. With a checkpoint: in all, earlier runs included. */
  epochs?: number;
  /** Examples at a time; default 32. */
  batchSize?: number;
  /** A name or a `tf.train` optimizer; default that of `model.compile`, else 'adam'. */
  optimizer?: OptimizerName | tf.Optimizer;
  /** A rate or a schedule, asked before every step; default the optimizer's own. */
  learningRate?: number | Schedule;
  /** Evaluated after every epoch, as `val_loss`, `val_<metric>` ... */
  validationData?: FitData;
  /** Default: batchSize. */
  validationBatchSize?: number;
  /** tfjs callbacks, plain objects with their events, objects with Thimble's hooks, in any mix. */
  callbacks?: readonly FitCallback[];
  /** Drives shuffling, dropout, augmentation and transforms; default 0. */
  seed?: number | string;
  /**
   * Batches whose gradients are averaged into one optimizer step; default 1. Equal to one batch of
   * batchSize * accumulate examples, in the memory of batchSize (batch norm sees the small batches).
   */
  accumulate?: number;
  /** Scales all gradients down where their common norm is above this; after clipValue. */
  clipNorm?: number;
  /** Clips every entry of the gradients to [-clipValue, clipValue]. */
  clipValue?: number;
  earlyStopping?: EarlyStoppingOptions;
  /** A file to write to and to go on from, or where and how often. */
  checkpoint?: string | CheckpointOptions;
  /** Stops between steps, after writing the checkpoint; its reason is thrown. */
  signal?: AbortSignal;
  /** Default true. */
  progress?: ProgressOption;
  /** How a batch becomes a loss and gradients; default `supervisedStep` with loss and metrics. */
  step?: Step;
}

const KNOWN = [
  'epochs',
  'batchSize',
  'optimizer',
  'learningRate',
  'loss',
  'lossWeights',
  'metrics',
  'validationData',
  'validationBatchSize',
  'callbacks',
  'seed',
  'accumulate',
  'clipNorm',
  'clipValue',
  'earlyStopping',
  'checkpoint',
  'signal',
  'progress',
  'step',
] satisfies (keyof FitOptions)[];

/** Options with their defaults, and the objective that they ask for. */
export interface ResolvedOptions extends FitOptions {
  epochs: number;
  batchSize: number;
  validationBatchSize: number;
  callbacks: readonly FitCallback[];
  seed: number | string;
  accumulate: number;
  progress: ProgressOption;
  objective: Objective;
}

function checkPositive(name: string, value: number | undefined): void {
  if (value === undefined) return;
  checkRange('fit', name, value, 0);
  if (value === 0) throw new OptionError(`fit: ${name} must be above 0.`);
}

/** Checks and completes the options. */
export function resolveOptions(model: LayersModel, options: FitOptions): ResolvedOptions {
  checkOptions('fit', options, KNOWN);
  const { epochs = 1, batchSize = 32, accumulate = 1, seed = 0, progress = true } = options;
  const { validationBatchSize = batchSize, learningRate } = options;
  checkInteger('fit', 'epochs', epochs, 0);
  checkInteger('fit', 'batchSize', batchSize, 1);
  checkInteger('fit', 'validationBatchSize', validationBatchSize, 1);
  checkInteger('fit', 'accumulate', accumulate, 1);
  checkPositive('clipNorm', options.clipNorm);
  checkPositive('clipValue', options.clipValue);
  if (typeof learningRate === 'number') checkRange('fit', 'learningRate', learningRate, 0);
  else if (learningRate !== undefined && typeof learningRate !== 'function') {
    throw new OptionError('fit: learningRate must be a number or a schedule (progress) => number.');
  }
  const callbacks = [options.callbacks ?? []].flat() as FitCallback[];
  checkCallbacks(callbacks);
  const objective = objectiveOf('fit', model, options);
  if (!options.step) requireLoss('fit', objective);
  if (options.validationData && objective.every((o) => !o.loss && o.metrics.length === 0)) {
    throw new OptionError(
      'fit: validationData needs a loss or metrics, which a step of its own does not give.',
    );
  }
  return {
    ...options,
    epochs,
    batchSize,
    validationBatchSize,
    callbacks,
    seed,
    accumulate,
    progress,
    objective,
  };
}
