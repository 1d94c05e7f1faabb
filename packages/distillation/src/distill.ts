// `distill`: the whole of it in one call.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  type BatchSource,
  type FitData,
  type FitOptions,
  fit,
  type History,
  type LossName,
  toSource,
} from '@thimble/core';
import {
  DistillationCallback,
  type DistillationOptions,
  distillationCallback,
  type ScheduledSoftTargets,
} from './distillation-callback.ts';
import { checkPair, givesProbabilities, tabulate } from './teacher.ts';

/** Options of {@link distill}: those of the loss, and all of `fit`'s. */
export interface DistillOptions extends ScheduledSoftTargets, FitOptions {
  /** One trained model, or several. They are not changed. */
  teacher: LayersModel | LayersModel[];
  /** The model to train, in place. */
  student: LayersModel;
  /** What both see: a data set, or tensors `{ xs, ys }` with one-hot labels. */
  data: FitData;
}

/** What {@link distill} gives back: the student it was given, now trained, and its history. */
export interface Distilled {
  student: LayersModel;
  history: History;
}

/**
 * Trains `student` to imitate `teacher` with soft targets at a temperature, beside the labels.
 *
 * Where the data set does not vary, the teacher's logits are computed once, before the first epoch; with
 * augmentation the teacher looks at every batch. The student's loss on the labels is the cross-entropy,
 * of probabilities or of logits as the student gives them, unless `loss` says otherwise.
 *
 * @throws ShapeError where teacher and student differ in inputs or classes, OptionError for a temperature
 *   not above 0 or an alpha outside [0, 1]
 * @example
 * const { student, history } = await distill({
 *   teacher, student: small, data: train, temperature: 4, alpha: 0.9, epochs: 5, batchSize: 128,
 * });
 */
export async function distill(options: DistillOptions): Promise<Distilled> {
  const { teacher, student, data, temperature, alpha, weighting, ...training } = options;
  const teachers = Array.isArray(teacher) ? teacher : [teacher];
  checkPair(teachers, student);
  const given = Object.entries({ temperature, alpha, weighting }).filter(
    ([, value]) => value !== undefined,
  );
  const soft: DistillationOptions = { teacher: teachers, ...Object.fromEntries(given) };
  distillationCallback(soft); // refuses bad options before the teachers work
  const source: BatchSource = await toSource(data);
  const { progress, signal } = training;
  const table = source.varies ? undefined : await tabulate(teachers, source, { progress, signal });
  const callback = new DistillationCallback(soft, table);
  const history = await fit(student, source, {
    loss: labelLoss(student),
    ...training,
    callbacks: [callback, ...(training.callbacks ?? [])],
  });
  return { student, history };
}

/** The cross-entropy with one-hot labels, of probabilities or of logits as the model gives them. */
export function labelLoss(model: LayersModel): LossName {
  return givesProbabilities(model)
    ? 'categoricalCrossentropy'
    : 'categoricalCrossentropyFromLogits';
}
