// Learning rates over the course of training.
import { checkInteger, checkRange, OptionError } from '@thimble/base';

/** Where a run stands before a step. */
export interface TrainingProgress {
  /** Number of the epoch, from 0. */
  readonly epoch: number;
  /** Optimizer steps taken so far, over all epochs. */
  readonly step: number;
  readonly stepsPerEpoch: number;
  /** Epochs that the run will take. */
  readonly epochs: number;
}

/** The learning rate of the next step. */
export type Schedule = (progress: TrainingProgress) => number;

/** The same rate at every step. */
function constant(rate: number): Schedule {
  checkRange('schedules.constant', 'rate', rate, 0);
  return () => rate;
}

/** `rate * factor^floor(epoch / every)`: a cut every so many epochs. */
function step(rate: number, { every, factor }: { every: number; factor: number }): Schedule {
  checkRange('schedules.step', 'rate', rate, 0);
  checkInteger('schedules.step', 'every', every, 1);
  checkRange('schedules.step', 'factor', factor, 0);
  return ({ epoch }) => rate * factor ** Math.floor(epoch / every);
}

/**
 * A cut at each milestone, given in epochs: `rate` times the factors of the milestones reached. One
 * factor serves for all of them.
 */
function multiStep(
  rate: number,
  { milestones, factors }: { milestones: readonly number[]; factors: number | readonly number[] },
): Schedule {
  checkRange('schedules.multiStep', 'rate', rate, 0);
  const each = typeof factors === 'number' ? milestones.map(() => factors) : factors;
  if (each.length !== milestones.length) {
    throw new OptionError(
      `schedules.multiStep: ${milestones.length} milestones need as many factors, not ${each.length}.`,
    );
  }
  if (milestones.some((milestone, i) => i > 0 && milestone <= milestones[i - 1]!)) {
    throw new OptionError(`schedules.multiStep: milestones must increase, not ${milestones}.`);
  }
  return ({ epoch }) =>
    milestones.reduce((r, milestone, i) => (epoch >= milestone ? r * each[i]! : r), rate);
}

/** `rate * factor^epoch`, with the epoch as a fraction: a little less at every step. */
function exponential(rate: number, { factor }: { factor: number }): Schedule {
  checkRange('schedules.exponential', 'rate', rate, 0);
  checkRange('schedules.exponential', 'factor', factor, 0);
  return ({ step, stepsPerEpoch }) => rate * factor ** (step / stepsPerEpoch);
}

/** A straight line from `rate` at the first step to `final` (default 0) at the end of the run. */
function linear(rate: number, { final = 0 }: { final?: number } = {}): Schedule {
  checkRange('schedules.linear', 'rate', rate, 0);
  checkRange('schedules.linear', 'final', final, 0);
  return ({ step, stepsPerEpoch, epochs }) =>
    rate + (final - rate) * Math.min(1, step / (stepsPerEpoch * epochs));
}

/**
 * `rate` for the first `hold` epochs (default 0), then half a cosine wave down to `final` (default 0) at the end of
 * the run; a run that is no longer than `hold` keeps the rate.
 */
function cosine(
  rate: number,
  { final = 0, hold = 0 }: { final?: number; hold?: number } = {},
): Schedule {
  checkRange('schedules.cosine', 'rate', rate, 0);
  checkRange('schedules.cosine', 'final', final, 0);
  checkRange('schedules.cosine', 'hold', hold, 0);
  return ({ step, stepsPerEpoch, epochs }) => {
    if (hold > 0 && hold >= epochs) return rate;
    const taken = Math.max(0, step - hold * stepsPerEpoch);
    const done = Math.min(1, taken / (stepsPerEpoch * (epochs - hold)));
    return final + ((rate - final) * (1 + Math.cos(Math.PI * done))) / 2;
  };
}

/** The rate of `after` times (step + 1) / steps during the first `steps` steps, then `after` itself. */
function warmUp(steps: number, after: number | Schedule): Schedule {
  checkInteger('schedules.warmUp', 'steps', steps, 1);
  const schedule = typeof after === 'number' ? constant(after) : after;
  return (progress) => schedule(progress) * Math.min(1, (progress.step + 1) / steps);
}

/**
 * The schedule starts anew every so many epochs, each time as for a run of that many. For learning-rate
 * rewinding (Renda, Frankle, Carbin, "Comparing Rewinding and Fine-tuning in Neural Network Pruning", 2020)
 * give it the epochs between two prunings.
 */
function restart(schedule: Schedule, { every }: { every: number }): Schedule {
  checkInteger('schedules.restart', 'every', every, 1);
  return ({ epoch, step, stepsPerEpoch }) =>
    schedule({
      epoch: epoch % every,
      step: step % (every * stepsPerEpoch),
      stepsPerEpoch,
      epochs: every,
    });
}

/**
 * Schedules for the `learningRate` option of `fit`, and for the weights and temperatures of distillation.
 *
 * @namespace
 * @example
 * await fit(model, data, { learningRate: schedules.warmUp(500, schedules.cosine(0.01)) });
 */
export const schedules: {
  constant: typeof constant;
  step: typeof step;
  multiStep: typeof multiStep;
  exponential: typeof exponential;
  cosine: typeof cosine;
  linear: typeof linear;
  warmUp: typeof warmUp;
  restart: typeof restart;
} = { constant, step, multiStep, exponential, cosine, linear, warmUp, restart };
