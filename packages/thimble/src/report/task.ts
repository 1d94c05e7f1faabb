// What networks of a report are trained for, and how their answers are scored.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { DataError, OptionError } from '@thimble/base';
import type { LossFunction, LossName, ObjectiveOptions } from '@thimble/core';
import { lossSpec } from '@thimble/core';
import { objectiveOf } from '../recipes/measure.ts';
import { classScores, regressionScores } from './quality.ts';

/** A task: classes, or numbers. */
export interface Task {
  readonly loss: LossFunction;
  readonly lossName: string;
  /** Number of classes; 0 for regression. */
  readonly classes: number;
  /** Whether outputs are those before a softmax or sigmoid. */
  readonly logits: boolean;
}

/** The task that a loss and the outputs tell. */
export function taskOf(owner: string, model: LayersModel, given: ObjectiveOptions['loss']): Task {
  const { loss, metrics } = objectiveOf(owner, model, given);
  const own = typeof loss === 'object' ? Object.values(loss).at(-1) : loss;
  if (own === undefined) throw new OptionError(`${owner}: loss says nothing of the last output.`);
  const { name, call } = lossSpec(owner, own as LossName | LossFunction);
  const width = model.outputs.at(-1)!.shape.at(-1) ?? 1;
  const classes = metrics === 'accuracy' ? Math.max(2, width) : 0;
  return { loss: call, lossName: name, classes, logits: name.endsWith('FromLogits') };
}

/** The number of the class of each example; labels are one-hot rows, class numbers, or 0 and 1. */
export function labelsOf(task: Task, y: tf.Tensor): number[] {
  const values = y.dataSync();
  const { classes } = task;
  const rows = task.lossName.startsWith('sparse') || (y.shape.at(-1) ?? 1) === 1;
  if (rows) return Array.from(values, (label, i) => classOf(label, i, classes));
  return Array.from(tf.tidy(() => tf.argMax(tf.reshape(y, [-1, classes]), -1).dataSync()));
}

function classOf(label: number, example: number, classes: number): number {
  const found = label <= 0 ? 0 : Math.round(label);
  if (found < classes) return found;
  throw new DataError(
    `report: example ${example} of a batch has the label ${label}; the network tells ${classes} classes apart, from 0 to ${classes - 1}.`,
  );
}

/** Outputs as one row of probabilities for each example: after a softmax where they are logits, both of a pair. */
export function probabilitiesOf(
  { classes, logits }: Task,
  values: Float32Array,
  rows: number,
): Float32Array {
  if (values.length === rows && classes === 2) {
    const pairs = new Float32Array(2 * rows);
    for (let i = 0; i < rows; i++) {
      const yes = logits ? 1 / (1 + Math.exp(-values[i]!)) : values[i]!;
      pairs[2 * i] = 1 - yes;
      pairs[2 * i + 1] = yes;
    }
    return pairs;
  }
  if (!logits) return values;
  return tf.tidy(() => tf.softmax(tf.tensor2d(values, [rows, classes])).dataSync()) as Float32Array;
}

/** Accuracy, or the root mean square error of regression, of a batch as a sum that can be added up. */
export function scoreSum(task: Task, values: Float32Array, y: tf.Tensor): number {
  if (task.classes === 0) {
    const n = y.shape[0]!;
    return n * regressionScores(values, y.dataSync()).rmse ** 2;
  }
  const labels = labelsOf(task, y);
  const probabilities = probabilitiesOf(task, values, labels.length);
  return y.shape[0]! * classScores(probabilities, labels, task.classes).accuracy;
}

/** The score of sums over examples. */
export function scoreOf(task: Task, sum: number, examples: number): number {
  return task.classes === 0 ? Math.sqrt(sum / examples) : sum / examples;
}
