import { readFileSync } from 'node:fs';
import { OptionError, parseRecipe, type Recipe, recipeSchema, recipes, steps } from 'thimble';
import { describe, expect, test } from 'vitest';

const READY = Object.keys(recipes) as (keyof typeof recipes)[];

test('the published schema is the one that is checked', () => {
  const file = new URL('../recipe.schema.json', import.meta.url);
  // Write it anew with packages/thimble/scripts/recipe-schema.mjs.
  expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(recipeSchema);
});

test.each(READY)('the recipe %s survives being written down', (name) => {
  const recipe = recipes[name]();
  const again = JSON.parse(JSON.stringify(recipe)) as Recipe;
  const { steps: list, ...rest } = parseRecipe(again);
  expect({ ...rest, steps: list.map((step) => ({ [step.name]: step.options })) }).toEqual(recipe);
  expect(rest.name).toBe(name);
});

test('every step is in the schema, and takes no options that it does not know', () => {
  for (const [name, make] of Object.entries(steps)) {
    expect(JSON.stringify(recipeSchema), name).toContain(`"${name}":{"description"`);
    const call = () => (make as (options: object) => unknown)({ sparsitty: 1 });
    expect(call, name).toThrow(`steps.${name}: unknown option "sparsitty". Known options: `);
  }
});

describe('refuses with a sentence', () => {
  test.each<[string, unknown, string]>([
    ['no object', 3, 'recipe: it must be an object, not 3.'],
    ['no steps', {}, 'recipe: steps is missing.'],
    ['an unknown key', { steps: [{ train: {} }], stepz: 1 }, 'unknown option "stepz"'],
    ['an unknown step', { steps: [{ prun: {} }] }, 'unknown option "steps[0].prun"'],
    ['two steps in one', { steps: [{ train: {}, encode: {} }] }, 'must have 1 of the keys'],
    ['no step', { steps: [{}] }, 'must have 1 of the keys'],
    [
      'an unknown option of a step',
      { steps: [{ train: {} }, { prune: { spasity: 0.5 } }] },
      'unknown option "steps[1].prune.spasity". Known options: sparsity,',
    ],
    [
      'a value out of range',
      { steps: [{ prune: { sparsity: 1 } }] },
      'steps[0].prune.sparsity must be a number from 0 below 1, not 1.',
    ],
    [
      'a value inside a record',
      { steps: [{ prune: { perLayer: { fc1: -1 } } }] },
      'steps[0].prune.perLayer.fc1 must be a number from 0 below 1, not -1.',
    ],
    [
      'a word of a list',
      { steps: [{ quantize: { scheme: 'round' } }] },
      'scheme must be one of symmetric, affine, not "round".',
    ],
    [
      'neither of two kinds',
      { steps: [{ quantize: { perLayer: { fc1: true } } }] },
      'perLayer.fc1 must be one of false, not true.',
    ],
    [
      'half a number',
      { steps: [{ train: { epochs: 1.5 } }] },
      'epochs must be a whole number from 1, not 1.5.',
    ],
    [
      'two bounds of pruning',
      { steps: [{ prune: { sparsity: 0.5, minAccuracy: 0.9, maxDrop: 0.01 } }] },
      'either minAccuracy or maxDrop',
    ],
    [
      'a bound without training',
      { steps: [{ prune: { sparsity: 0.5, maxDrop: 0.01, epochs: 0 } }] },
      'maxDrop needs training after each round',
    ],
    ['what says nothing', { steps: [{ prune: {} }] }, 'steps.prune: give sparsity'],
    [
      'what excludes each other',
      { steps: [{ cluster: { bits: 4, clusters: 16 } }] },
      'either clusters or bits',
    ],
    [
      'rewinding to what is not reached',
      { steps: [{ lotteryTicket: { sparsity: 0.5, epochs: 2, rewind: 2 } }] },
      'rewind (2) must be below epochs (2)',
    ],
  ])('%s', (_, recipe, message) => {
    expect(() => parseRecipe(recipe)).toThrow(message);
    expect(() => parseRecipe(recipe)).toThrow(OptionError);
  });

  test('an unknown option of a ready recipe', () => {
    expect(() => recipes.binary({ epoch: 3 } as never)).toThrow(
      'recipes.binary: unknown option "epoch". Known options: epochs.',
    );
  });
});
