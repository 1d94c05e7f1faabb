// Trainings that follow one another, each with a checkpoint of its own.
import { OptionError } from '@thimble/base';
import type { FitOptions } from '@thimble/core';

/** The checkpoint option of one stage: the path with the stage's name behind it. */
export function stageCheckpoint(
  owner: string,
  checkpoint: FitOptions['checkpoint'],
  stage: string,
): Pick<FitOptions, 'checkpoint'> {
  if (checkpoint === undefined) return {};
  if (typeof checkpoint === 'string') return { checkpoint: `${checkpoint}-${stage}` };
  if (checkpoint.path === undefined) {
    throw new OptionError(
      `${owner}: checkpoint must be a path, not a store: each of the trainings in turn has its own.`,
    );
  }
  return { checkpoint: { ...checkpoint, path: `${checkpoint.path}-${stage}` } };
}
