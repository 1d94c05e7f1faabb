// Milliseconds per training step, batch 60, Adam, tfjs's trainOnBatch, on the stock backend `wasm` and on
// `thimble`: one model, one process, in turn; and PyTorch on one thread, in the same rounds, where it is
// installed. Stock wasm cannot train a convolution, so it is lent gradients composed of its own ops.
import '@thimble/backend';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { hasRelaxedSimd } from '@thimble/kernels';
import { batch } from '../batch.ts';
import { NETWORKS, network } from '../networks.ts';
import { type PyTorch, startPyTorch } from '../peers/pytorch.ts';
import { median } from '../statistics.ts';
import type { Measured, Task } from '../task.ts';
import { lendGradients } from './composed.ts';

const BATCH = 60;
const STEPS = 10;
const BACKENDS = ['wasm', 'thimble'];
const RELAXED = 'thimble, relaxed SIMD';

/** Mean milliseconds of a step, over a few steps. */
async function time(model: tfl.LayersModel, x: tf.Tensor, y: tf.Tensor): Promise<number> {
  const started = performance.now();
  for (let i = 0; i < STEPS; i++) await model.trainOnBatch(x, y);
  return (performance.now() - started) / STEPS;
}

interface Figures {
  network: string;
  milliseconds: Record<string, number[]>;
  heapBytes: Record<string, number>;
}

async function measure(name: string, repeats: number, pytorch?: PyTorch): Promise<Figures> {
  await tf.setBackend('thimble');
  const { x, y } = batch(BATCH);
  const model = network(name);
  const milliseconds: Record<string, number[]> = { wasm: [], thimble: [] };
  if (hasRelaxedSimd()) milliseconds[RELAXED] = [];
  if (pytorch) milliseconds.pytorch = [];
  for (let round = 0; round <= repeats; round++) {
    for (const [peer, times] of Object.entries(milliseconds)) {
      const ours = peer !== 'pytorch';
      if (ours) await tf.setBackend(peer === 'wasm' ? 'wasm' : 'thimble');
      tf.env().set('THIMBLE_RELAXED_SIMD', peer === RELAXED);
      const taken = ours ? await time(model, x, y) : await pytorch!.time(name, STEPS);
      if (round > 0) times.push(taken); // round 0 warms up
    }
  }
  tf.dispose([x, y]);
  model.dispose();
  const heapBytes = Object.fromEntries(BACKENDS.map((backend) => [backend, heap(name, backend)]));
  return { network: name, milliseconds, heapBytes };
}

function heap(name: string, backend: string): number {
  const program = fileURLToPath(new URL('../memory.js', import.meta.url));
  const command = [...process.execArgv, program, name, backend];
  return Number(
    execFileSync(process.execPath, command, { stdio: ['ignore', 'pipe', 'ignore'] }).toString(),
  );
}

async function run(repeats: number): Promise<Measured> {
  lendGradients();
  const pytorch = await startPyTorch();
  const figures: Figures[] = [];
  for (const name of NETWORKS) figures.push(await measure(name, repeats, pytorch));
  pytorch?.end();
  const cell = (times?: number[]) =>
    times
      ? `${median(times).toFixed(1)} (${Math.min(...times).toFixed(1)}-${Math.max(...times).toFixed(1)})`
      : 'not here';
  const ratio = (over?: number[], under?: number[]) =>
    over && under ? `${median(over.map((ms, i) => ms / under[i]!)).toFixed(2)}x` : '';
  const megabytes = (bytes: number) => (bytes / 2 ** 20).toFixed(0);
  const rows = figures.flatMap(({ network, milliseconds, heapBytes }) => {
    const { wasm, thimble, pytorch: peer } = milliseconds;
    const relaxed = milliseconds[RELAXED];
    const against = (times?: number[]) => [ratio(wasm, times), ratio(peer, times)];
    const heap = (backend: string) => megabytes(heapBytes[backend]!);
    return [
      [network, 'stock wasm', cell(wasm), '', '', heap('wasm')],
      ['', 'thimble, plain SIMD', cell(thimble), ...against(thimble), heap('thimble')],
      ['', RELAXED, cell(relaxed), ...against(relaxed), ''],
      ['', 'PyTorch, one thread', cell(peer), '', '', ''],
    ];
  });
  const head = ['network', 'with', 'ms per step: median (min-max)'];
  head.push('wasm / this', 'PyTorch / this', 'heap, MB');
  const versions = { pytorch: pytorch?.version, tfjs: tf.version_core };
  return { table: [head, ...rows], figures: { versions, networks: figures } };
}

export const training: Task = {
  about: 'step time of small networks on stock wasm, on thimble and in PyTorch',
  run,
};
