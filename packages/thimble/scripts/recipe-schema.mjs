// Writes recipe.schema.json anew, after a build: `node packages/thimble/scripts/recipe-schema.mjs`.
import { writeFileSync } from 'node:fs';
import { recipeSchema } from '../dist/index.js';

const file = new URL('../recipe.schema.json', import.meta.url);
writeFileSync(file, `${JSON.stringify(recipeSchema, null, 2)}\n`);
