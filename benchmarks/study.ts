// What longer experiments share: results kept as they come, so that an interrupted run goes on; the
// record; the table.
import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startThimble } from '@thimble/backend';
import { data, type FitOptions, schedules } from 'thimble';
import { describeRun, type RunRecord } from 'thimble-examples/shared/run-record';
import { meanAndSpread, type Row, textTable } from 'thimble-examples/shared/table';

export { testErrors } from 'thimble-examples/shared/test-errors';

/** A run of an experiment: where its results go, and which are there already. */
export interface Study {
  run: RunRecord;
  seeds: number[];
  output: string;
  /** Computes a result, or takes it from an earlier run with the same key and settings. */
  once<T>(key: string, settings: unknown, compute: () => Promise<T>): Promise<T>;
  /** What every method came to under every seed, or those that `seedsOf` it says, each computed once. */
  compare<T>(
    methods: Readonly<Record<string, (seed: number) => Promise<T>>>,
    settings: unknown,
    seedsOf?: (method: string) => readonly number[],
  ): Promise<{ method: string; outcomes: T[] }[]>;
  /** Prints the table and writes result.json. */
  finish(table: Row[], record: object): Promise<void>;
}

/** Begins `npm run reproduce -- NAME`, which gives the program `--output FOLDER`. */
export async function beginStudy(name: string, folder?: string): Promise<Study> {
  const output = folder ?? join('output', 'reproduce', name);
  await startThimble();
  const run = describeRun(`npm run reproduce -- ${name}`); // now: the checkout may change while it runs
  const kept = join(output, 'kept');
  await mkdir(kept, { recursive: true });
  const seeds = [0, 1, 2];
  const study: Study = {
    run,
    seeds,
    output,
    async once(key, settings, compute) {
      const text = JSON.stringify([key, settings]);
      const hash = createHash('sha256').update(text).digest('hex').slice(0, 12);
      const path = join(kept, `${key.replace(/\W+/g, '-')}-${hash}.json`);
      const known = await readFile(path, 'utf8').catch(() => undefined);
      if (known !== undefined) return JSON.parse(known);
      const begun = performance.now();
      const result = await compute();
      await writeFile(`${path}.part`, JSON.stringify(result));
      await rename(`${path}.part`, path);
      console.log(
        `${key}: ${JSON.stringify(result)} (${((performance.now() - begun) / 1000).toFixed(0)} s)`,
      );
      return result;
    },
    async compare(methods, settings, seedsOf = () => seeds) {
      const results = [];
      for (const [method, run] of Object.entries(methods)) {
        const outcomes = [];
        for (const seed of seedsOf(method)) {
          outcomes.push(await study.once(`${method}, seed ${seed}`, settings, () => run(seed)));
        }
        results.push({ method, outcomes });
      }
      return results;
    },
    async finish(table, record) {
      console.log(textTable(table));
      const result = { run, seeds, ...record };
      await writeFile(join(output, 'result.json'), `${JSON.stringify(result, null, 2)}\n`);
    },
  };
  return study;
}

/** Mean and spread, in percent of the 10,000 test images, of counts of errors. */
export function percent(counts: number[]): string {
  return meanAndSpread(
    counts.map((count) => count / 100),
    2,
  );
}

/** Real MNIST, or its distorted form: 55,000 to train on, 5,000 to choose by, 10,000 to test. */
export async function realMnist(
  distort = false,
): Promise<Record<'train' | 'validation' | 'test', data.ImageDataset>> {
  const { train: all, test } = await data.mnist({ distort, onProgress: false });
  if (all.synthetic) throw new Error(`Real MNIST is needed: ${all.source}`);
  const [train, validation] = all.split(1 / 12, 'study');
  return { train, validation, test };
}

/** Adam on batches of 128, with a rate that falls as a cosine does. */
export function training(seed: number, epochs: number, rate: number): FitOptions {
  return {
    epochs,
    batchSize: 128,
    optimizer: 'adam',
    learningRate: schedules.cosine(rate),
    loss: 'categoricalCrossentropy',
    seed,
    progress: false,
  };
}
