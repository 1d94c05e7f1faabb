// thimble compress
import { rm } from 'node:fs/promises';
import { textTable, writeBytes } from '@thimble/base';
import {
  type CompressReport,
  compress as compressModel,
  parseRecipe,
  type StepReport,
} from 'thimble';
import type { Context, Outcome } from '../context.ts';
import { type DataOptions, loadParts } from '../data/load.ts';
import { readModel } from '../model-file.ts';
import { outputOf } from '../output.ts';
import { type RecipeOptions, recipeOf, withLabels } from '../recipe-file.ts';
import { count, type Row, scoresText } from '../text.ts';

export interface CompressCommandOptions extends RecipeOptions, DataOptions {
  output?: string;
  loss?: string;
  seed?: number;
  work?: string;
  keepWork?: boolean;
}

export async function compress(
  path: string,
  options: CompressCommandOptions,
  { progress, signal, say }: Context,
): Promise<Outcome> {
  const output = await outputOf(path, options.output);
  const recipe = await recipeOf(options);
  parseRecipe(recipe); // before anything takes time
  const file = await readModel(path);
  const model = await file.model();
  const reading = { progress, signal };
  const { labels } = file.notes;
  const parts = await loadParts(model, options, reading, labels);
  const { train, validation, test, source, classNames = labels } = parts;
  say(`Data: ${source}.`);
  const work = options.work ?? `${output}.work`;
  const {
    bytes,
    report,
    model: small,
  } = await compressModel(model, {
    data: { train, ...(validation ? { validation } : {}), ...(test ? { test } : {}) },
    recipe: withLabels(recipe, classNames),
    folder: work,
    progress,
    signal,
    ...(options.loss === undefined ? {} : { loss: options.loss }),
    ...(options.seed === undefined ? {} : { seed: options.seed }),
    onStep: (step) => say(stepText(step)),
  });
  small.dispose();
  await writeBytes(output, bytes);
  if (!options.keepWork) await rm(work, { recursive: true, force: true });
  return { text: reportText(output, source, report), json: { output, source, ...report } };
}

function stepText({ name, kept, seconds, validation }: StepReport): string {
  return `${name}: ${kept ? 'kept from before' : `${seconds.toFixed(1)} s`}, ${scoresText(validation)} on validation data`;
}

function reportText(output: string, source: string, report: CompressReport): string {
  const { before, steps, after, bytes, ratio, data } = report;
  const figures = ({ nonzero, macs, bytes: weights }: typeof before) =>
    [nonzero, macs, weights].map(count);
  const row = (name: string, measured: typeof before): Row => [
    name,
    ...figures(measured),
    scoresText(measured.validation),
  ];
  const table = textTable([
    ['', 'nonzero', 'MACs', 'weight bytes', 'validation'],
    row('before', before),
    ...steps.map((step) => row(step.name, step)),
    row('file', after),
  ]);
  const examples = `${count(data.train)} to train on, ${count(data.validation)} to choose by`;
  const tested =
    before.test && after.test
      ? [
          `Test, looked at once (${count(data.test!)} examples): ${scoresText(before.test)} before; ${scoresText(after.test)} after.`,
        ]
      : ['No test data: give --test for a figure that nothing was chosen by.'];
  return [
    table,
    '',
    `Data: ${source}; ${examples}. Weight bytes are before entropy coding.`,
    ...tested,
    `${output}: ${count(bytes)} bytes, ${ratio.toFixed(1)} times smaller than float32 (${count(4 * before.params)}).`,
  ].join('\n');
}
