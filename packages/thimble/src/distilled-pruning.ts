// Pruning a trained network with its dense self for teacher.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { copyModel, type History } from '@thimble/core';
import { type DistillOptions, distill } from '@thimble/distillation';
import { type GradualPruningOptions, gradualPruning } from '@thimble/pruning';

/** Options of {@link distilledPruning}: those of `distill` but for the models, and those of `gradualPruning`. */
export interface DistilledPruningOptions extends Omit<DistillOptions, 'teacher' | 'student'> {
  /** A trained network; pruned in place. To resume from a checkpoint give the trained network again. */
  model: LayersModel;
  pruning: GradualPruningOptions;
}

/**
 * Prunes a trained network little by little while it learns from a copy of what it was, beside the labels: the copy's
 * soft targets hold what pruning takes away.
 *
 * @returns the model it was given, with masks, and the history of training
 * @throws as `distill` and `gradualPruning` do
 * @example
 * const { history } = await distilledPruning({
 *   model, data: train, epochs: 2, temperature: 2,
 *   pruning: { schedule: sparsitySchedules.polynomial({ initial: 0, final: 0.8, begin: 0, end: 3 }), every: 1 },
 * });
 */
export async function distilledPruning(
  options: DistilledPruningOptions,
): Promise<{ model: LayersModel; history: History }> {
  const { model, pruning, callbacks = [], ...training } = options;
  const pruner = gradualPruning(pruning);
  const teacher = copyModel(model);
  try {
    const all = { ...training, teacher, student: model, callbacks: [pruner, ...callbacks] };
    const { history } = await distill(all);
    return { model, history };
  } finally {
    teacher.dispose();
  }
}
