// Callbacks of any kind: tfjs's classes, plain objects, and Thimble's hooks into the step.
import type * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { OptionError } from '@thimble/base';
import type { StateValue, StepContext, StepResult, TrainingHooks } from './training.ts';

/** What callbacks are told: the loss, metrics and counts, always as numbers. */
export type Logs = Record<string, number>;
type Answer = void | Promise<void>;

/** Moments of training, with the names that tfjs has for them. All are optional. */
export interface TrainingEvents {
  onTrainBegin?(logs?: Logs): Answer;
  onTrainEnd?(logs?: Logs): Answer;
  onEpochBegin?(epoch: number, logs?: Logs): Answer;
  /** What it adds to `logs` goes into the history. */
  onEpochEnd?(epoch: number, logs: Logs): Answer;
  /** Before each optimizer step; `batch` counts them within the epoch. */
  onBatchBegin?(batch: number, logs: Logs): Answer;
  onBatchEnd?(batch: number, logs: Logs): Answer;
  /** After the event loop had its turn. */
  onYield?(epoch: number, batch: number, logs: Logs): Answer;
}

/** Whatever `fit` takes as callback: an instance of a tfjs class or a plain object; events, hooks or both. */
export interface FitCallback extends TrainingEvents, TrainingHooks {}

/**
 * Ancestor of callbacks that take part in the step. The events reach it in Thimble's `fit` and in tfjs's
 * own `model.fit`; the hooks (`weights`, `step`, `forward`, `loss`, `gradients`, `afterStep`, `state`,
 * `restore`) in Thimble's alone.
 *
 * @example
 * class Decay extends ThimbleCallback {
 *   override gradients(gradients, { variables }) {
 *     return gradients.map((g, i) => tf.add(g, tf.mul(variables[i], 1e-4)));
 *   }
 * }
 */
export abstract class ThimbleCallback extends tfl.Callback implements TrainingHooks {
  /** True while Thimble's `fit` runs, false in tfjs's own. */
  insideFit = false;

  /** Thimble's `fit` is over, however it ended: the place to give back what `setModel` took. */
  leave?(): void;
  weights?(): tfl.LayerVariable[];
  step?(run: () => StepResult, context: StepContext): StepResult;
  forward?(run: () => tf.Tensor[], context: StepContext): tf.Tensor[];
  loss?(loss: tf.Scalar, outputs: tf.Tensor[], context: StepContext): tf.Scalar;
  gradients?(gradients: tf.Tensor[], context: StepContext): tf.Tensor[];
  afterStep?(context: StepContext): void | Promise<void>;
  state?(): StateValue | Promise<StateValue>;
  restore?(state: StateValue): void | Promise<void>;
}

/** What tfjs tells its callbacks of a run. */
export interface RunParams {
  epochs: number;
  initialEpoch: number;
  samples: number;
  steps: number;
  batchSize: number;
  verbose: number;
  doValidation: boolean;
  metrics: string[];
}

const EVENTS = [
  'onTrainBegin',
  'onTrainEnd',
  'onEpochBegin',
  'onEpochEnd',
  'onBatchBegin',
  'onBatchEnd',
  'onYield',
] as const;
const HOOKS = [
  'weights',
  'step',
  'forward',
  'loss',
  'gradients',
  'afterStep',
  'state',
  'restore',
] as const;
type Event = (typeof EVENTS)[number];

/** Throws for a callback that has nothing to call. */
export function checkCallbacks(callbacks: readonly FitCallback[]): void {
  for (const callback of callbacks) {
    const known = callback as Record<string, unknown> | null;
    if (![...EVENTS, ...HOOKS].some((name) => typeof known?.[name] === 'function')) {
      const found = known ? Object.keys(known).join(', ') : `${callback}`;
      throw new OptionError(
        `fit: a callback (${found}) has none of ${[...EVENTS, ...HOOKS].join(', ')}.`,
      );
    }
  }
}

/**
 * Shows the model to the callbacks that want to know it, before anything else happens: one that brings
 * weights of its own (masks) adds them now, so that a checkpoint finds them.
 */
export function showModel(callbacks: readonly FitCallback[], model: tfl.LayersModel): void {
  for (const callback of callbacks) {
    if (callback instanceof ThimbleCallback) callback.insideFit = true;
    (callback as Partial<tfl.Callback>).setModel?.(model);
  }
}

/** Tells the callbacks that want to know it about the run, as tfjs does. */
export function introduce(callbacks: readonly FitCallback[], params: RunParams): void {
  for (const callback of callbacks) {
    (callback as Partial<tfl.Callback>).setParams?.({ ...params } as never);
  }
}

/** The run is over. */
export function takeLeave(callbacks: readonly FitCallback[]): void {
  for (const callback of callbacks) {
    if (!(callback instanceof ThimbleCallback)) continue;
    callback.insideFit = false;
    callback.leave?.();
  }
}

/** Calls one event of all callbacks in order, waiting for those that answer with a promise. */
export async function announce(
  callbacks: readonly FitCallback[],
  event: Event,
  ...args: unknown[]
): Promise<void> {
  for (const callback of callbacks) {
    const call = (callback as Record<Event, ((...args: unknown[]) => Answer) | undefined>)[event];
    if (call) await call.apply(callback, args);
  }
}
