// Recipes with dimensions in place of values.
import { OptionError } from '@thimble/base';
import { parseRecipe, type Recipe, type StepData } from '../recipes/recipe.ts';
import { type Dimension, isDimension, type Settings, type Space } from './space.ts';

/** A recipe in which any value may be a dimension, and so be searched. */
export interface SearchedRecipe {
  /** What it is called. */
  name?: string;
  /** Step by name, its options with a `Dimension` in place of any value. */
  steps: readonly Readonly<Record<string, object | undefined>>[];
}

type Plain = unknown;

/** Calls `visit` for each dimension, and gives back the recipe with what it returns. */
function mapDimensions(
  recipe: SearchedRecipe,
  visit: (name: string, dimension: Dimension) => Plain,
): Plain {
  const { steps, ...rest } = recipe ?? {};
  if (!Array.isArray(steps)) throw new OptionError('search: the recipe has no list of steps.');
  const names = steps.map((step) => Object.keys(step ?? {})[0]);
  const walk = (value: Plain, path: string): Plain => {
    if (isDimension(value)) return visit(path, value);
    if (Array.isArray(value)) return value.map((each, i) => walk(each, `${path}.${i}`));
    if (typeof value !== 'object' || value === null) return value;
    const entries = Object.entries(value);
    return Object.fromEntries(
      entries.map(([key, each]) => [key, walk(each, path === '' ? key : `${path}.${key}`)]),
    );
  };
  const walked = steps.map((step, i) => {
    const name = names[i]!;
    // "prune.sparsity"; of several steps of one name also which: "prune2.sparsity".
    const before = names.slice(0, i).filter((each) => each === name).length;
    const own = before === 0 ? name : `${name}${before + 1}`;
    return { [name]: walk((step as Record<string, object>)[name], own) };
  });
  return { ...rest, steps: walked };
}

/** The dimensions of a recipe by name, such as "prune.sparsity" or "quantize.perLayer.conv1". */
export function spaceOf(recipe: SearchedRecipe): Space {
  const space: Record<string, Dimension> = {};
  mapDimensions(recipe, (name, dimension) => {
    space[name] = dimension;
    return null;
  });
  return space;
}

/**
 * The recipe with the values that were chosen.
 *
 * @throws {OptionError} for a recipe that is none then.
 * @example
 * const recipe = { steps: [{ prune: { sparsity: { between: [0.5, 0.95] } } }, { encode: {} }] };
 * filledRecipe(recipe, { 'prune.sparsity': 0.9 }); // { steps: [{ prune: { sparsity: 0.9 } }, { encode: {} }] }
 */
export function filledRecipe(recipe: SearchedRecipe, settings: Settings): Recipe {
  const filled = mapDimensions(recipe, (name) => {
    const value = settings[name];
    if (value !== undefined) return value;
    throw new OptionError(`search: the settings have no value for "${name}".`);
  }) as { steps: StepData[] };
  parseRecipe(filled);
  return filled;
}
