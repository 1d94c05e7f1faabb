// What the programs of the examples share: options, a run that Ctrl-C ends between two steps, the report's end.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startThimble } from '@thimble/backend';
import { checkInteger, data, formatDuration, OptionError } from 'thimble';
import { escapeHtml, page } from './html.ts';
import { describeRun, type RunRecord } from './run-record.ts';
import { count } from './table.ts';

/** The options that every example has, for `parseArgs`. */
export const OPTIONS = {
  preset: { type: 'string', default: 'quick' },
  seeds: { type: 'string', default: '1' },
  data: { type: 'string', default: 'auto' },
  output: { type: 'string' },
  silent: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

/** A whole number from an option. */
export function wholeNumber(owner: string, name: string, value: string, least: number): number {
  checkInteger(owner, name, Number(value), least);
  return Number(value);
}

/** The preset that `--preset` names. */
export function presetNamed<Preset>(
  presets: Readonly<Record<string, Preset>>,
  name: string,
): Preset {
  if (Object.hasOwn(presets, name)) return presets[name]!;
  const known = Object.keys(presets).join(', ');
  throw new OptionError(`--preset must be one of ${known}, not "${name}".`);
}

/** So many seeds, from the first on. */
export function seedsFrom(first: number, number: number): number[] {
  return Array.from({ length: number }, (_, i) => first + i);
}

/** A program at work. */
export interface Run {
  record: RunRecord;
  train: data.ImageDataset;
  test: data.ImageDataset;
  progress: boolean;
  /** Aborted by Ctrl-C: the next run goes on from what is kept. */
  signal: AbortSignal;
  started: number;
}

/** Starts the backend and loads the digits; `command` is what a user types for the same run. */
export async function begin(
  command: string,
  values: { data: string; silent: boolean },
): Promise<Run> {
  const abort = new AbortController();
  process.once('SIGINT', () => abort.abort());
  const { signal } = abort;
  const started = performance.now();
  await startThimble(); // tf.setBackend('thimble') that throws where it cannot
  const progress = !values.silent;
  const record = describeRun(command); // now: the checkout may change while this runs
  const { train, test } = await data.mnist({ source: values.data, onProgress: progress, signal });
  console.log(`Data: ${train.source}.`);
  return { record, train, test, progress, signal, started };
}

/** A program without options of its own, at work on a preset. */
export interface PresetRun<Preset> extends Run {
  preset: Preset;
  seeds: number[];
  /** Where the report goes, and the folder in it for what an interrupted run goes on from. */
  output: string;
  checkpoints: string;
}

/** Begins a program whose script in package.json is named `owner` and that has the common options alone. */
export async function beginPreset<Preset>(
  owner: string,
  presets: Readonly<Record<string, Preset>>,
  values: { preset: string; seeds: string; data: string; output?: string; silent: boolean },
): Promise<PresetRun<Preset>> {
  const preset = presetNamed(presets, values.preset);
  const seeds = seedsFrom(0, wholeNumber(owner, '--seeds', values.seeds, 1));
  const output = values.output ?? join('output', owner, values.preset);
  const command =
    `npm run ${owner} -- --preset ${values.preset} --seeds ${seeds.length}` +
    (values.data === 'synthetic' ? ' --data synthetic' : '');
  const run = await begin(command, values);
  return { ...run, preset, seeds, output, checkpoints: join(output, 'checkpoints') };
}

/** Where the digits of a run came from, and how many there were. */
export interface DataRecord {
  source: string;
  synthetic: boolean;
  train: number;
  test: number;
}

export function recordData({ train, test }: Pick<Run, 'train' | 'test'>): DataRecord {
  return {
    source: train.synthetic ? 'synthetic digits' : 'MNIST',
    synthetic: train.synthetic,
    train: train.size,
    test: test.size,
  };
}

/** "Data: MNIST; 60,000 training and 10,000 test images." */
export function dataLine({ source, train, test }: DataRecord): string {
  return `Data: ${source}; ${count(train)} training and ${count(test)} test images.`;
}

/** What the figures of a table are: one seed, or mean and spread over several. */
export function seedsLine(seeds: readonly number[]): string {
  return seeds.length > 1
    ? `Mean ± standard deviation over the seeds ${seeds.join(', ')}.`
    : `Seed ${seeds[0]}.`;
}

/**
 * Writes `report.html`, with the record of the run at its end, and `result.json` into `folder`, and gives back
 * the path of the page.
 */
export async function writePage<Result extends { run: RunRecord }>(
  folder: string,
  title: string,
  paragraphs: string[],
  pieces: string[],
  result: Result,
): Promise<string> {
  await mkdir(folder, { recursive: true });
  const record = `<pre>${escapeHtml(JSON.stringify(result.run, null, 2))}</pre>`;
  const path = join(folder, 'report.html');
  await writeFile(path, page(title, paragraphs, [...pieces, record]));
  await writeFile(join(folder, 'result.json'), `${JSON.stringify(result, null, 2)}\n`);
  return path;
}

/** The last lines of a run. */
export function finish(text: string, label: string, path: string, { started }: Run): void {
  console.log(`\n${text}\n`);
  console.log(`${label} ${path}   (${formatDuration(performance.now() - started)} in all)`);
}
