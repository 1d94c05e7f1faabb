// Milliseconds per training step, batch 60, Adam, tfjs's trainOnBatch, on the stock backend `wasm` and on
// `thimble`: one model, one process, in turn; and PyTorch on one thread, in the same rounds, where it is
// installed. Stock wasm cannot train a convolution, so it is lent gradients composed of its own ops.
import '@thimble/backend';
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import { hasRelaxedSimd } from '@thimble/kernels';
import { digits, noise } from '../batch.ts';
import { NETWORKS, network } from '../networks.ts';
import { type PyTorch, startPyTorch } from '../peers/pytorch.ts';
import { median } from '../statistics.ts';
import { BATCH, STEPS, stepTime } from '../step-times.ts';
import type { Measured, Task } from '../task.ts';
import { lendGradients } from './composed.ts';

const BACKENDS = ['wasm', 'thimble'];
const RELAXED = 'thimble, relaxed SIMD';
/** What the networks see: zeros cost `thimble` less, so both are measured. */
const IMAGES = { digits, noise };
/** Adam as PyTorch has it when nothing is said, and its fastest form. */
const PYTORCH = { PyTorch: '', 'PyTorch, fused Adam': '-fused' };

interface Figures {
  network: string;
  images: keyof typeof IMAGES;
  milliseconds: Record<string, number[]>;
  heapBytes: Record<string, number>;
}

async function measure(
  name: string,
  images: keyof typeof IMAGES,
  repeats: number,
  pytorch?: PyTorch,
): Promise<Figures> {
  await tf.setBackend('thimble');
  const { x, y } = await IMAGES[images](BATCH);
  const model = network(name);
  const milliseconds: Record<string, number[]> = { wasm: [], thimble: [] };
  if (hasRelaxedSimd()) milliseconds[RELAXED] = [];
  if (pytorch) for (const peer of Object.keys(PYTORCH)) milliseconds[peer] = [];
  for (let round = 0; round <= repeats; round++) {
    for (const [peer, times] of Object.entries(milliseconds)) {
      const variant = PYTORCH[peer as keyof typeof PYTORCH] as string | undefined;
      if (variant === undefined) await tf.setBackend(peer === 'wasm' ? 'wasm' : 'thimble');
      tf.env().set('THIMBLE_RELAXED_SIMD', peer === RELAXED);
      const taken =
        variant === undefined
          ? await stepTime(model, x, y)
          : await pytorch!.time(`${name}${variant}`, STEPS);
      if (round > 0) times.push(taken); // round 0 warms up
    }
  }
  tf.dispose([x, y]);
  model.dispose();
  const heapBytes = Object.fromEntries(BACKENDS.map((backend) => [backend, heap(name, backend)]));
  return { network: name, images, milliseconds, heapBytes };
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
  for (const name of NETWORKS) {
    for (const images of ['digits', 'noise'] as const) {
      figures.push(await measure(name, images, repeats, pytorch));
    }
  }
  pytorch?.end();
  const cell = (times: number[]) =>
    `${median(times).toFixed(1)} (${Math.min(...times).toFixed(1)}-${Math.max(...times).toFixed(1)})`;
  const ratio = (over?: number[], under?: number[]) =>
    over && under ? `${median(over.map((ms, i) => ms / under[i]!)).toFixed(2)}x` : '';
  const megabytes = (bytes: number) => (bytes / 2 ** 20).toFixed(0);
  const rows = figures.flatMap(({ network, images, milliseconds, heapBytes }) =>
    Object.entries(milliseconds).map(([peer, times], i) => {
      const ours = peer === 'thimble' || peer === RELAXED;
      const against = Object.keys(PYTORCH).map((other) => milliseconds[other]);
      const ratios = [milliseconds.wasm, ...against].map((over) =>
        ours ? ratio(over, times) : '',
      );
      const heap = heapBytes[peer] === undefined ? '' : megabytes(heapBytes[peer]);
      return [i === 0 ? `${network}, ${images}` : '', peer, cell(times), ...ratios, heap];
    }),
  );
  const head = ['network, images', 'with', 'ms per step: median (min-max)'];
  head.push('wasm / this', 'PyTorch / this', 'PyTorch, fused / this', 'heap, MB');
  const versions = { pytorch: pytorch?.version, tfjs: tf.version_core };
  return { table: [head, ...rows], figures: { versions, networks: figures } };
}

export const training: Task = {
  about: 'step time of small networks on stock wasm, on thimble and in PyTorch',
  run,
};
