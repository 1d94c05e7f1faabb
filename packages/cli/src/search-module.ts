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
}

export default async function trialOf(options: SearchModuleOptions): Promise<Trial> {
  const { path, data, recipe, loss, timed, seed } = options;
  const file = await readModel(path);
  const model = await file.model();
  const { train, validation } = await loadParts(model, data, { progress: false });
  return recipeTrial({
    model,
    recipe,
    data: { train, ...(validation ? { validation } : {}) },
    timed,
    seed,
    ...(loss === undefined ? {} : { loss }),
  });
}
