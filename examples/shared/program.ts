// What the programs of the examples share: options, a run that Ctrl-C ends between two steps, the report's end.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startThimble } from '@thimble/backend';
import { checkInteger, data, formatDuration } from 'thimble';
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
