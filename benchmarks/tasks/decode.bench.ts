// How fast files are decoded, in MB of float32 that come out a second of processor time: warm, and cold, the first file of a
// process, which compiles the decoder too. Beside them zlib (native code), which inflates the same float32. LeNet-5 and
// MobileNet-v1 small as `npm run reproduce -- inference-models` trains them, where its files are there; else random
// weights, as of LeNet-300-100 always.
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync, gzipSync } from 'node:zlib';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { decode } from '@thimble/runtime';
import { criteria, type EncodeOptions, encode, load, lower, models, prune } from 'thimble';
import { network } from 'thimble-examples/shared/networks';
import { MODELS } from '../inference-nets.ts';
import { median } from '../statistics.ts';
import type { Measured, Task } from '../task.ts';

/** Where the packages are found from. */
const here = fileURLToPath(new URL('.', import.meta.url));
const KEPT = 0.08;
const ENTROPIES = ['none', 'huffman', 'arithmetic'] as const;
/** Decodes before anything is measured: the engine's best code is in place then. */
const WARM_UP = 30;
/** Decodes to a measurement. */
const BATCH = 10;

interface Case {
  net: string;
  weights: 'trained' | 'random';
  form: string;
  entropy: string;
  bytes: Uint8Array;
  /** Bytes of the float32 that come out. */
  output: number;
  path: string;
  cold: number[];
  warm: number[];
}

const PROGRAM = `
  import { readFileSync } from 'node:fs';
  import { decode } from '@thimble/runtime/bundle';
  const bytes = new Uint8Array(readFileSync(process.argv[1]));
  const begun = process.cpuUsage();
  await decode(bytes);
  const { user, system } = process.cpuUsage(begun);
  process.stdout.write(String((user + system) / 1000));`;

/** Milliseconds of processor time, all threads of the process, since `begun`. */
function since(begun: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(begun);
  return (user + system) / 1000;
}

/** Milliseconds of the first decode of a process. */
function coldDecode(path: string): number {
  const args = ['--input-type=module', '--eval', PROGRAM, path];
  const { stdout, stderr, status } = spawnSync(process.execPath, args, {
    cwd: here,
    encoding: 'utf8',
  });
  if (status !== 0) throw new Error(stderr);
  return Number(stdout);
}

/** Milliseconds of one decode of some. */
async function warmDecode(bytes: Uint8Array): Promise<number> {
  const begun = process.cpuUsage();
  for (let i = 0; i < BATCH; i++) await decode(bytes);
  return since(begun) / BATCH;
}

async function networkOf(
  name: string,
  make: () => LayersModel,
): Promise<{ model: LayersModel; weights: Case['weights'] }> {
  try {
    const bytes = await readFile(`${MODELS}${name}-dense.thimble`);
    return { model: await load(new Uint8Array(bytes)), weights: 'trained' };
  } catch {
    return { model: make(), weights: 'random' };
  }
}

/** All float32 of a model, one weight after the other. */
function floatsOf(model: LayersModel): Buffer {
  const all = Object.values(lower(model).weights).map(({ data }) => data!);
  return Buffer.concat(
    all.map(({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength)),
  );
}

async function run(repeats: number): Promise<Measured> {
  const folder = await mkdtemp(join(tmpdir(), 'thimble-decode-'));
  const cases: Case[] = [];
  const add = async (
    common: Pick<Case, 'net' | 'weights'>,
    model: LayersModel,
    form: string,
    options: EncodeOptions,
  ): Promise<void> => {
    const floats = floatsOf(model);
    const output = floats.length;
    for (const entropy of ENTROPIES) {
      const bytes = await encode(model, { ...options, entropy, progress: false });
      const path = join(folder, `${cases.length}.thimble`);
      await writeFile(path, bytes);
      cases.push({ ...common, form, entropy, bytes, output, path, cold: [], warm: [] });
    }
    if (options.weights !== undefined) return;
    const bytes = gzipSync(floats, { level: 9 });
    cases.push({
      ...{ ...common, form, entropy: 'gzip, inflated by zlib', bytes, output, path: '' },
      ...{ cold: [], warm: [] },
    });
  };
  const nets: [string, string, () => LayersModel][] = [
    ['LeNet-300-100', 'lenet300', () => network('lenet300', 1)],
    ['LeNet-5', 'lenet5', () => network('lenet5', 1)],
    ['MobileNet-v1 small', 'mobilenet28', () => models.mobileNet({ widthMultiplier: 2, seed: 1 })],
  ];
  for (const [net, name, make] of nets) {
    const { model, weights } = await networkOf(name, make);
    await add({ net, weights }, model, 'float32, dense', {});
    await add({ net, weights }, model, 'int8, dense', { weights: 'int8' });
    const pruning = { criterion: criteria.magnitude(), granularity: 'element' } as const;
    await prune(model, { ...pruning, sparsity: 1 - KEPT });
    await add({ net, weights }, model, 'float32, 8 % kept', {});
    await add({ net, weights }, model, 'shared values, 8 % kept', { weights: 'codebook' });
    model.dispose();
  }
  const decoded = cases.filter(({ path }) => path !== '');
  for (const { bytes } of decoded) for (let i = 0; i < WARM_UP; i++) await decode(bytes);
  for (let round = 0; round < repeats; round++) {
    for (const { bytes, path, warm } of cases) {
      if (path !== '') warm.push(await warmDecode(bytes));
      else {
        const begun = process.cpuUsage();
        for (let i = 0; i < BATCH; i++) gunzipSync(bytes);
        warm.push(since(begun) / BATCH);
      }
    }
  }
  // After all the others: a process that was forked from takes a page fault for each page that it writes to again.
  for (let round = 0; round < repeats; round++) {
    for (const { path, cold } of decoded) cold.push(coldDecode(path));
  }
  await rm(folder, { recursive: true });
  const speed = (output: number, times: number[]): number | undefined =>
    times.length === 0 ? undefined : output / 1e3 / median(times);
  const figures = cases.map(({ net, weights, form, entropy, bytes, output, cold, warm }) => ({
    ...{ net, weights, form, entropy, bytes: bytes.length, output },
    ...{ coldMBs: speed(output, cold), warmMBs: speed(output, warm) },
    ...{ coldMs: cold, warmMs: warm },
  }));
  const shown = (value: number | undefined): string => value?.toPrecision(3) ?? '';
  const head = ['network', 'weights', 'form', 'code', 'bytes', 'cold MB/s', 'warm MB/s'];
  const rows = figures.map(({ net, weights, form, entropy, bytes, coldMBs, warmMBs }) => [
    ...[net, weights, form, entropy, String(bytes), shown(coldMBs), shown(warmMBs)],
  ]);
  return { table: [head, ...rows], figures };
}

export const decoding: Task = {
  about: 'MB of weights that are decoded a second, cold and warm',
  run,
};
