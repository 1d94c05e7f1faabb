// FitNets: first the hints, then the soft targets.
import { checkInteger } from '@thimble/base';
import { fit, type History, schedules } from '@thimble/core';
import { type Distilled, type DistillOptions, distill, labelLoss } from './distill.ts';
import { type HintOptions, hints } from './hints.ts';
import { stageCheckpoint } from './stages.ts';

const OWNER = 'fitNets';

/** Options of {@link fitNets}: those of `distill`, which its second stage is, and the hints. */
export interface FitNetsOptions
  extends Omit<DistillOptions, 'teacher'>,
    Pick<HintOptions, 'teacher' | 'pairs'> {
  /** Epochs of the first stage; default half of `epochs`, rounded up. */
  hintEpochs?: number;
}

/** What {@link fitNets} gives back: as `distill`, and the history of the first stage. */
export interface FitNetsResult extends Distilled {
  hintHistory: History;
}

/**
 * Trains a thin, deep student in two stages. First its lower part learns to foretell the teacher's hint through a
 * regressor, without labels; see {@link hints}. Then all of it learns from labels and soft targets together.
 *
 * Defaults of the second stage: temperature 3, and alpha in a line from 0.8 to 0.5. The paper weighs the soft targets
 * lambda times the labels, lambda from 4 to 1; that is `alpha = lambda / (1 + lambda)`. Both stages share the other
 * options; with `checkpoint` each has a file, with `-hints` and `-distillation` behind the path.
 *
 * Paper: Romero and others, "FitNets: Hints for Thin Deep Nets", 2015, algorithm 1.
 *
 * @throws as `distill` and `hints` do.
 * @example
 * const { student: thin } = await fitNets({
 *   teacher, student, pairs: [['hidden', 'hidden']], data: train, epochs: 2,
 * });
 */
export async function fitNets(options: FitNetsOptions): Promise<FitNetsResult> {
  const { pairs, hintEpochs = Math.ceil((options.epochs ?? 1) / 2), checkpoint, ...rest } = options;
  checkInteger(OWNER, 'hintEpochs', hintEpochs, 1);
  const { temperature = 3, alpha = schedules.linear(0.8, { final: 0.5 }), ...others } = rest;
  const { teacher, student, data, weighting, seed = 0, ...training } = others;
  const hint = hints({ teacher, pairs, taskWeight: 0, seed });
  const hintHistory = await fit(student, data, {
    loss: labelLoss(student),
    ...training,
    // Labels play no part yet.
    metrics: [],
    validationData: undefined,
    earlyStopping: undefined,
    seed,
    epochs: hintEpochs,
    callbacks: [...(training.callbacks ?? []), hint],
    ...stageCheckpoint(OWNER, checkpoint, 'hints'),
  });
  const soft = { teacher, student, data, weighting, temperature, alpha, seed };
  const own = stageCheckpoint(OWNER, checkpoint, 'distillation');
  return { ...(await distill({ ...training, ...soft, ...own })), hintHistory };
}
