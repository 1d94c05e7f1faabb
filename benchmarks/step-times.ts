// Milliseconds per training step of one network in several forms, in turn in one process, beside its dense form.
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { hasRelaxedSimd } from '@thimble/kernels';
import { median } from './statistics.ts';
import type { Measured } from './task.ts';

/** Examples in a step. */
export const BATCH = 60;
/** Steps that are timed together. */
export const STEPS = 10;

/** Mean milliseconds of a step, over a few steps. */
export async function stepTime(
  model: tfl.LayersModel,
  x: tf.Tensor,
  y: tf.Tensor,
): Promise<number> {
  const started = performance.now();
  for (let i = 0; i < STEPS; i++) await model.trainOnBatch(x, y);
  return (performance.now() - started) / STEPS;
}

/** What was measured of one network on one kind of images: a time for every round, by the form's name. */
export interface StepTimes {
  milliseconds: Record<string, number[]>;
}

/** Times compiled models in turn, round after round, and disposes of them and of the batch. */
export async function compareSteps(
  models: Readonly<Record<string, tfl.LayersModel>>,
  { x, y }: { x: tf.Tensor; y: tf.Tensor },
  repeats: number,
): Promise<StepTimes> {
  const milliseconds: Record<string, number[]> = Object.fromEntries(
    Object.keys(models).map((key) => [key, []]),
  );
  for (let round = 0; round <= repeats; round++) {
    for (const [key, model] of Object.entries(models)) {
      const taken = await stepTime(model, x, y);
      if (round > 0) milliseconds[key]!.push(taken); // round 0 warms up
    }
  }
  tf.dispose([x, y]);
  for (const model of Object.values(models)) model.dispose();
  return { milliseconds };
}

/** The table and the record of such figures; the form `dense` is what all are compared with. */
export function stepTable<F extends StepTimes>(
  figures: readonly F[],
  titles: [network: string, form: string],
  nameOf: (figures: F) => string,
): Measured {
  const rows = figures.flatMap((each) =>
    Object.entries(each.milliseconds).map(([key, times], i) => [
      i === 0 ? nameOf(each) : '',
      key,
      median(times).toFixed(2),
      median(times.map((ms, round) => ms / each.milliseconds.dense![round]!)).toFixed(3),
    ]),
  );
  return {
    table: [[...titles, 'ms per step, median', 'this / dense'], ...rows],
    figures: { relaxedSimd: hasRelaxedSimd(), networks: figures },
  };
}
