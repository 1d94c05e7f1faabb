// A recipe as plain data, its JSON Schema, and the way from it to steps.
import { checkOrder } from './order.ts';
import { checkSchema, type Schema } from './schema.ts';
import { type Step, type StepKind, schemaOf } from './step.ts';
import { kinds, type StepOptions, steps } from './steps.ts';

/** One step as plain data: its name and its options. */
export type StepData = {
  [Name in keyof StepOptions]: Readonly<Record<Name, StepOptions[Name]>>;
}[keyof StepOptions];

/** A recipe as plain data, to be written as JSON or YAML. */
export interface Recipe {
  /** What it is called. */
  name?: string;
  /** Of everything random; default 0. */
  seed?: number | string;
  steps: readonly StepData[];
}

/** The JSON Schema of recipes; the file `recipe.schema.json` of this package. */
export const recipeSchema: Schema & { readonly $schema: string; readonly title: string } = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'A recipe of Thimble',
  description: 'How a network is compressed, step by step.',
  type: 'object',
  properties: {
    $schema: { description: 'Where this schema is, for editors.', type: 'string' },
    name: { description: 'What the recipe is called.', type: 'string' },
    seed: {
      description: 'Of everything random; default 0.',
      anyOf: [{ type: 'integer' }, { type: 'string' }],
    },
    steps: {
      description: 'What is done, one after the other.',
      type: 'array',
      minItems: 1,
      items: {
        description: 'The name of a step, and its options.',
        type: 'object',
        properties: Object.fromEntries(
          Object.entries(kinds).map(([name, kind]) => [name, schemaOf(kind as StepKind<object>)]),
        ),
        additionalProperties: false,
        minProperties: 1,
        maxProperties: 1,
      },
    },
  },
  required: ['steps'],
  additionalProperties: false,
};

/**
 * Checks a recipe that comes from a file, and makes its steps.
 *
 * @throws {OptionError} for unknown keys and values out of range, saying in which step; for steps in an order in which
 *   a later one would lose what an earlier one did, saying which to put first.
 * @example
 * const { steps: list } = parseRecipe(JSON.parse('{ "steps": [{ "prune": { "sparsity": 0.9 } }] }'));
 * const { report } = await compress(model, { data: train, steps: list });
 */
export function parseRecipe(recipe: unknown): {
  name?: string;
  seed?: number | string;
  steps: Step[];
} {
  const owner = 'recipe';
  checkSchema(owner, '', recipe, recipeSchema);
  const { name, seed, steps: list } = recipe as Recipe;
  const made = list.map((data) => {
    const [kind, options] = Object.entries(data)[0] as [keyof StepOptions, object];
    return (steps[kind] as (given: object) => Step)(options);
  });
  checkOrder(owner, made);
  return {
    ...(name === undefined ? {} : { name }),
    ...(seed === undefined ? {} : { seed }),
    steps: made,
  };
}

/** The steps as a recipe writes them. */
export function stepData(list: readonly Step[]): StepData[] {
  return list.map(({ name, options }) => ({ [name]: options }) as unknown as StepData);
}
