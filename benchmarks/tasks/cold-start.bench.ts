// From nothing to the first result in Node, each time in a process of its own, beside a process that does nothing:
// the runtime as modules and as one file, tfjs-layers with the wasm backend, on LeNet-5 with random weights, dense
// and with a tenth of them.
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { criteria, prune, save, saveTfjs } from 'thimble';
import { network } from 'thimble-examples/shared/networks';
import { median } from '../statistics.ts';
import type { Measured, Task } from '../task.ts';

/** Where the packages are found from. */
const here = fileURLToPath(new URL('.', import.meta.url));

const runtime = (module: string, file: string): string => `
  import { load } from '${module}';
  const net = await load('file://${file}');
  net.predict(new Float32Array(28 * 28));`;

const tfjs = (folder: string): string => `
  import * as tf from '@tensorflow/tfjs-core';
  import { loadLayersModel } from '@tensorflow/tfjs-layers';
  import '@tensorflow/tfjs-backend-wasm';
  import { registerFileHandlers } from 'thimble';
  registerFileHandlers();
  await tf.setBackend('wasm');
  const model = await loadLayersModel('file://${folder}/model.json');
  model.predict(tf.zeros([1, 28, 28, 1])).dataSync();`;

/**
 * Milliseconds of processor time, all threads of the process, and by the clock: of the whole process, and from its
 * beginning to the first result.
 */
interface Sample {
  processor: number;
  clock: number;
  result: number;
}

/** Runs a program in a process of its own, which says at its end what it took. */
function sample(program: string): Sample {
  const end = `
  const result = performance.now();
  const { user, system } = process.cpuUsage();
  process.stdout.write([(user + system) / 1000, result].join());`;
  const begun = performance.now();
  const { stdout, stderr, status } = spawnSync(
    process.execPath,
    ['--input-type=module', '--eval', program + end],
    { cwd: here, encoding: 'utf8' },
  );
  if (status !== 0) throw new Error(stderr);
  const [processor, result] = stdout.split(',').map(Number) as [number, number];
  return { processor, clock: performance.now() - begun, result };
}

async function run(repeats: number): Promise<Measured> {
  const folder = await mkdtemp(join(tmpdir(), 'thimble-cold-'));
  const path = (name: string): string => join(folder, name);
  const model = network('lenet5', 1);
  await save(model, `file://${path('dense.thimble')}`);
  await save(model, `file://${path('int8.thimble')}`, { weights: 'int8' });
  await saveTfjs(model, `file://${path('tfjs')}`);
  await prune(model, { criterion: criteria.magnitude(), granularity: 'element', sparsity: 0.9 });
  await save(model, `file://${path('sparse.thimble')}`, { entropy: 'huffman' });
  await save(model, `file://${path('arithmetic.thimble')}`, { entropy: 'arithmetic' });
  const bundle = '@thimble/runtime/bundle';
  const programs: Record<string, string> = {
    'Node alone': '',
    'runtime, dense float32': runtime('@thimble/runtime', path('dense.thimble')),
    'runtime in one file, dense float32': runtime(bundle, path('dense.thimble')),
    'runtime in one file, int8': runtime(bundle, path('int8.thimble')),
    'runtime in one file, a tenth kept, Huffman': runtime(bundle, path('sparse.thimble')),
    'runtime in one file, a tenth kept, arithmetic': runtime(bundle, path('arithmetic.thimble')),
    'tfjs-layers, wasm, dense float32': tfjs(path('tfjs')),
  };
  const samples = Object.entries(programs).map(([name, program]) => ({
    name,
    program,
    all: [] as Sample[],
  }));
  for (let round = 0; round < repeats; round++) {
    for (const { program, all } of samples) all.push(sample(program));
  }
  model.dispose();
  await rm(folder, { recursive: true });
  const figures = samples.map(({ name, all }) => {
    const processor = median(all.map((each) => each.processor));
    const clock = median(all.map((each) => each.clock));
    const result = median(all.map((each) => each.result));
    return { name, processor, clock, result };
  });
  const alone = figures[0]!;
  const beyond = figures.map(({ name, processor, clock, result }) => ({
    ...{ name, processor, clock, result },
    processorBeyond: processor - alone.processor,
    clockBeyond: clock - alone.clock,
    resultBeyond: result - alone.result,
  }));
  const than = 'beyond Node alone';
  const head = ['program', 'processor ms', than, 'clock ms', than, 'first result ms', than];
  const rows = beyond.map((each) => [
    each.name,
    each.processor.toFixed(1),
    each.processorBeyond.toFixed(1),
    each.clock.toFixed(1),
    each.clockBeyond.toFixed(1),
    each.result.toFixed(1),
    each.resultBeyond.toFixed(1),
  ]);
  return { table: [head, ...rows], figures: beyond };
}

export const coldStart: Task = {
  about: 'from nothing to the first result in Node, a process each time',
  run,
};
