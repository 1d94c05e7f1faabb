// Numbers that may change in the course of training: temperatures, weights.
import { OptionError } from '@thimble/base';
import type { Schedule, StepContext } from '@thimble/core';

/** A number, or one of `schedules`, asked before every step. */
export type Scheduled = number | Schedule;

/** What tfjs tells a callback about a run. */
export interface RunLength {
  epochs?: unknown;
  steps?: unknown;
  samples?: unknown;
  batchSize?: unknown;
}

/** The value at a step; the length of the run is what `setParams` told. */
export function valueAt(
  value: Scheduled,
  { epoch, step }: Pick<StepContext, 'epoch' | 'step'>,
  { epochs, steps, samples, batchSize }: RunLength,
): number {
  if (typeof value === 'number') return value;
  // tfjs's own fit tells the examples and leaves the steps out.
  const stepsPerEpoch = Number(steps ?? Math.ceil(Number(samples) / Number(batchSize)));
  return value({ epoch, step, stepsPerEpoch, epochs: Number(epochs) });
}

/** Throws unless it is at least 0, and a number or a schedule; a schedule is checked where it is used. */
export function checkScheduled(owner: string, name: string, value: unknown): void {
  if (typeof value === 'function') return;
  if (typeof value !== 'number' || !Number.isFinite(value) || value < 0) {
    throw new OptionError(
      `${owner}: ${name} must be a number of at least 0, or one of schedules, not ${String(value)}.`,
    );
  }
}
