// Makes the trials of `thimble search` in a thread of their own.
import { type RecipeTrialOptions, recipeTrial, type Trial } from 'thimble';
import { type DataOptions, loadParts } from './data/load.ts';
import { readModel } from './model-file.ts';

/** All that a thread must know; plain data. */
export interface SearchModuleOptions {
  path: string;
  data: DataOptions;
  recipe: RecipeTrialOptions['recipe'];
  loss?: string;
  timed: boolean;
  seed: number;
  /** Of network and data, so that over Redis what others under the same paths came to is not taken for it. */
  fingerprint?: string;
}

export default async function trialOf(options: SearchModuleOptions): Promise<Trial> {
  const { path, data, recipe, loss, timed, seed } = options;
  const file = await readModel(path);
  const model = await file.model();
  const reading = { progress: false };
  const { train, validation } = await loadParts(model, data, reading, file.notes.labels);
  return recipeTrial({
    model,
    recipe,
    data: { train, ...(validation ? { validation } : {}) },
    timed,
    seed,
    ...(loss === undefined ? {} : { loss }),
  });
}
