// thimble search
import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import { textTable, writeBytes } from '@thimble/base';
import { threadTrials } from '@thimble/workers';
import {
  fingerprintOf,
  type Goal,
  type GoalKey,
  type Outcome,
  recipes,
  type SearchedRecipe,
  type SearchResult,
  type Settings,
  search as searchRecipe,
  type Trial,
  type TrialRecord,
} from 'thimble';
import type { Context, Outcome as Said } from '../context.ts';
import { absolute, type DataOptions, loadParts } from '../data/load.ts';
import { UsageError } from '../failure.ts';
import { readModel } from '../model-file.ts';
import { outputOf } from '../output.ts';
import type { QueuedTrial } from '../queue-module.ts';
import { readRecipe, withLabels } from '../recipe-file.ts';
import { loadRedis, QUEUE } from '../redis.ts';
import type { SearchModuleOptions } from '../search-module.ts';
import { count, scoresText } from '../text.ts';

export interface SearchCommandOptions extends DataOptions {
  recipe?: string;
  bytes?: number;
  macs?: number;
  milliseconds?: number;
  floor?: number;
  trials?: number;
  bracket?: number;
  eta?: number;
  rungs?: number;
  threads?: number;
  redis?: string;
  queue?: string;
  loss?: string;
  seed?: number;
  output?: string;
  work?: string;
  keepWork?: boolean;
}

/** Trials in the queue, for however many workers there are. */
const AT_A_TIME = 16;
const KEYS = ['bytes', 'macs', 'milliseconds'] as const;

/** What is searched where no recipe is given: small files by masks and shared values, little work by fewer channels. */
const READY: Record<'bytes' | 'work', SearchedRecipe> = {
  bytes: {
    name: 'searched for bytes',
    steps: [
      { prune: { sparsity: { between: [0.5, 0.98] }, scope: 'global', epochs: 2 } },
      { cluster: { clusters: { between: [4, 64], whole: true, log: true }, epochs: 1 } },
      { encode: {} },
    ],
  },
  work: {
    name: 'searched for work',
    steps: [
      { removeChannels: { ratio: { between: [0.1, 0.9] }, epochs: 2 } },
      { quantize: { bits: 8, activations: 8 } },
      { encode: {} },
    ],
  },
};

export async function search(
  path: string,
  options: SearchCommandOptions,
  { progress, signal, say }: Context,
): Promise<Said> {
  const { key, goal } = goalOf(options);
  const output = await outputOf(path, options.output);
  const ready = READY[key === 'bytes' ? 'bytes' : 'work'];
  const { recipe: name, loss, seed = 0 } = options;
  const asked = name === undefined ? ready : await searchedRecipe(name);
  const file = await readModel(path);
  const model = await file.model();
  const reading = { progress, signal };
  const { labels } = file.notes;
  const parts = await loadParts(model, options, reading, labels);
  const { train, validation, test, source, classNames = labels } = parts;
  const recipe = withLabels(asked, classNames);
  say(`Data: ${source}.`);
  const work = options.work ?? `${output}.search.json`;
  const { data, label, limit } = options;
  const about = [path, data, label, limit, options.validation, loss].map((each) => each ?? null);
  const module: SearchModuleOptions = JSON.parse(
    JSON.stringify({
      path: resolve(path),
      data: absolute({ data, label, limit, validation: options.validation } as DataOptions),
      recipe,
      loss,
      timed: key === 'milliseconds',
      seed,
      ...(options.redis === undefined
        ? {}
        : { fingerprint: fingerprintOf(model, [train, validation]) }),
    }),
  );
  const pool = await poolOf(module, options);
  try {
    const found = await searchRecipe({
      model,
      recipe,
      data: { train, ...(validation ? { validation } : {}), ...(test ? { test } : {}) },
      goal,
      seed,
      file: work,
      about,
      progress,
      signal,
      ...(pool ? { trial: pool.trial, parallel: pool.parallel } : {}),
      ...given(options, ['floor', 'trials', 'bracket', 'eta', 'rungs']),
      ...(loss === undefined ? {} : { loss }),
    });
    const { compressed, ...rest } = found;
    if (compressed) {
      compressed.model.dispose();
      await writeBytes(output, compressed.bytes);
      if (!options.keepWork) await rm(work, { force: true });
    }
    return {
      text: textOf(found, key, compressed ? output : undefined, work),
      json: {
        ...rest,
        best: rest.best ?? null,
        ...(compressed ? { output, report: compressed.report } : {}),
      },
      failed: !compressed,
    };
  } finally {
    await pool?.close();
  }
}

/** A recipe from a file, with dimensions in it. */
async function searchedRecipe(name: string): Promise<SearchedRecipe> {
  if (Object.hasOwn(recipes, name) && !existsSync(name)) {
    throw new UsageError(
      `The recipe ${name} has its values already, and nothing to search. Write it to a file (thimble recipe ${name} > ` +
        'mine.yaml), put { between: [0.5, 0.95] } or { oneOf: [4, 8] } in place of values, and give that.',
    );
  }
  return (await readRecipe(name)) as unknown as SearchedRecipe;
}

interface Pool {
  trial: Trial;
  parallel: number;
  close(): Promise<void>;
}

/** Where trials are made, if not here. */
async function poolOf(
  module: SearchModuleOptions,
  { threads = 1, redis, queue: name = QUEUE }: SearchCommandOptions,
): Promise<Pool | undefined> {
  if (redis !== undefined) {
    const { redisQueue } = await loadRedis();
    const queue = redisQueue<QueuedTrial, Outcome>({ url: redis, queue: name });
    const trial: Trial = ({ signal, ...job }) => queue.run({ options: module, job }, signal);
    return { trial, parallel: AT_A_TIME, close: queue.close };
  }
  if (threads === 1) return undefined;
  const address = new URL('../search-module.js', import.meta.url);
  const pool = threadTrials({ module: address, threads, settings: module });
  return { trial: pool.trial, parallel: pool.threads, close: pool.close };
}

function given<K extends keyof SearchCommandOptions>(
  options: SearchCommandOptions,
  keys: readonly K[],
): { [Key in K]?: NonNullable<SearchCommandOptions[Key]> } {
  const entries = keys.map((key) => [key, options[key]]).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [Key in K]?: NonNullable<SearchCommandOptions[Key]> };
}

function goalOf(options: SearchCommandOptions): { key: GoalKey; goal: Goal } {
  const keys = KEYS.filter((key) => options[key] !== undefined);
  const [key] = keys;
  if (key === undefined || keys.length > 1) {
    throw new UsageError('Give one goal: --bytes 20000, --macs 500000 or --milliseconds 0.5.');
  }
  return { key, goal: { [key]: options[key] } as unknown as Goal };
}

function settingsText(settings: Settings): string {
  return Object.entries(settings)
    .map(
      ([name, value]) =>
        `${name} ${typeof value === 'number' ? Number(value.toPrecision(4)) : value}`,
    )
    .join(', ');
}

function textOf(
  { best, front, trials, compressed }: SearchResult,
  key: GoalKey,
  output: string | undefined,
  work: string,
): string {
  const row = ({ outcome, settings }: TrialRecord) => [
    outcome.accuracy.toFixed(4),
    key === 'milliseconds' ? outcome.milliseconds!.toPrecision(3) : count(outcome[key]!),
    settingsText(settings),
  ];
  const table = textTable([['accuracy', key, 'settings'], ...front.map(row)]);
  const head = `${count(trials.length)} trials. Those that no other one beats, on the validation data:`;
  if (!best || !compressed || output === undefined) {
    return [
      head,
      '',
      table,
      '',
      `None keeps the goal. Ask for less, search more widely, or with more --trials; ${work} has what was tried.`,
    ].join('\n');
  }
  const { test, data } = { test: compressed.report.after.test, data: compressed.report.data };
  return [
    head,
    '',
    table,
    '',
    `Best: ${settingsText(best.settings)}; accuracy ${best.outcome.accuracy.toFixed(4)} on the data that it was chosen by.`,
    test
      ? `Test, looked at once (${count(data.test!)} examples): ${scoresText(test)}.`
      : 'No test data: give --test for a figure that nothing was chosen by.',
    `${output}: ${count(compressed.bytes.length)} bytes.`,
  ].join('\n');
}
