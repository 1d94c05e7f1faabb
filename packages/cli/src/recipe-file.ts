// Recipes from files and from the command line.
import { DataError, readBytes } from '@thimble/base';
import { type Recipe, recipes, type StepData } from 'thimble';
import { parse } from 'yaml';
import { UsageError } from './failure.ts';

/** What the command line says of the recipe. */
export interface RecipeOptions {
  /** A ready one by its name, or a file. */
  recipe?: string;
  /** Options of a ready one: key=value. */
  set?: string[];
  prune?: number;
  removeChannels?: number;
  cluster?: number;
  quantize?: number;
  activations?: number;
  binarize?: boolean;
  /** Epochs of each step that is asked for by a flag. */
  epochs?: number;
}

const FLAGS = [
  'prune',
  'removeChannels',
  'cluster',
  'quantize',
  'activations',
  'binarize',
] as const;

type Ready = (options?: Record<string, unknown>) => Recipe;

/** The recipe that is asked for; `deepCompression` where there is none. Steps are checked later, by `compress`. */
export async function recipeOf(options: RecipeOptions): Promise<Recipe> {
  const flags = FLAGS.filter((name) => options[name] !== undefined);
  const flagged = flags.length > 0;
  if (flagged && options.recipe !== undefined) {
    throw new UsageError('Give either --recipe, or steps by flags such as --prune 0.9.');
  }
  if (options.epochs !== undefined && !flagged) {
    throw new UsageError(
      '--epochs goes with steps by flags, such as --prune 0.9; for a recipe use --set epochs=5.',
    );
  }
  if (flagged) {
    if (options.set)
      throw new UsageError(
        '--set goes with a ready recipe: --recipe deepCompression --set epochs=5.',
      );
    return { steps: flaggedSteps(options) };
  }
  const { recipe = 'deepCompression', set } = options;
  if (Object.hasOwn(recipes, recipe)) {
    return (recipes[recipe as keyof typeof recipes] as Ready)(settings(set));
  }
  if (set) throw new UsageError('--set goes with a ready recipe; change the options in the file.');
  return readRecipe(recipe);
}

function flaggedSteps(options: RecipeOptions): StepData[] {
  const { prune, removeChannels, cluster, quantize, activations, binarize, epochs } = options;
  if (activations !== undefined && quantize === undefined) {
    throw new UsageError(
      '--activations goes with --quantize, for example --quantize 8 --activations 8.',
    );
  }
  const trained = epochs === undefined ? {} : { epochs };
  return [
    ...(removeChannels === undefined
      ? []
      : [{ removeChannels: { ratio: removeChannels, ...trained } }]),
    ...(prune === undefined ? [] : [{ prune: { sparsity: prune, ...trained } }]),
    ...(cluster === undefined ? [] : [{ cluster: { clusters: cluster, ...trained } }]),
    ...(quantize === undefined
      ? []
      : [
          {
            quantize: {
              bits: quantize,
              ...trained,
              ...(activations === undefined ? {} : { activations }),
            },
          },
        ]),
    ...(binarize ? [{ binarize: trained }] : []),
    { encode: {} },
  ];
}

/** Options from key=value, the values as YAML has them. */
function settings(set: readonly string[] = []): Record<string, unknown> {
  return Object.fromEntries(
    set.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1)
        throw new UsageError(`--set ${pair}: write key=value, for example --set sparsity=0.95.`);
      return [pair.slice(0, at), parse(pair.slice(at + 1)) as unknown];
    }),
  );
}

/** A recipe from a file; what is in it is checked later. */
export async function readRecipe(path: string): Promise<Recipe> {
  const bytes = await readBytes(path);
  if (!bytes) {
    throw new DataError(
      `There is no recipe "${path}": no file of that name, and none of the ready ones (${Object.keys(recipes).join(', ')}).`,
    );
  }
  try {
    // What refers to itself, which YAML allows, is refused here.
    return JSON.parse(JSON.stringify(parse(new TextDecoder().decode(bytes)))) as Recipe;
  } catch (cause) {
    throw new UsageError(
      `The recipe ${path} is neither YAML nor JSON: ${(cause as Error).message}`,
      { cause },
    );
  }
}

/** The recipe with the names of the classes in its file, where it says none. */
export function withLabels<T extends { readonly steps: readonly object[] }>(
  recipe: T,
  labels: readonly string[] | undefined,
): T {
  if (!labels || !Array.isArray(recipe?.steps)) return recipe;
  let named = false;
  const steps = recipe.steps.map((step: object | null) => {
    if (typeof step !== 'object' || step === null || !('encode' in step)) return step;
    named = true;
    return { encode: { labels: [...labels], ...(step.encode as object) } };
  });
  const own = { encode: { labels: [...labels] } };
  return { ...recipe, steps: named ? steps : [...steps, own] };
}
