// thimble recipe
import type { Recipe, recipes } from 'thimble';
import { stringify } from 'yaml';
import type { Outcome } from '../context.ts';
import { recipeOf } from '../recipe-file.ts';

const ABOUT: Record<keyof typeof recipes, string> = {
  anytime: 'several widths and early exits in one file, weights of 8 bits',
  binary: 'weights of one bit',
  deepCompression: 'pruned, shared weights, entropy codes: the smallest file',
  lotteryTicket: 'a sparse network trained from its own initial weights',
  mobile: 'fewer channels, weights and activations of 8 bits',
};

export async function recipe(
  name: string | undefined,
  { set }: { set?: string[] },
): Promise<Outcome> {
  if (name === undefined) {
    const width = Math.max(...Object.keys(ABOUT).map((each) => each.length));
    const lines = Object.entries(ABOUT).map(([each, about]) => `${each.padEnd(width)}  ${about}`);
    return { text: lines.join('\n'), json: ABOUT };
  }
  const found: Recipe = await recipeOf({ recipe: name, ...(set ? { set } : {}) });
  return { text: stringify(found).trimEnd(), json: found };
}
