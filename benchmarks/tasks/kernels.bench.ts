// Milliseconds and speed of the kernels by themselves, in both builds, beside the stock kernels of tfjs-wasm
// for the same shapes: in turn, in one process, one thread. A shape takes a few milliseconds per sample,
// so what is measured is the kernel with its data in the caches as far as they fit. Speed counts every
// product, also those with the zeros of a sparse dy that are skipped.
import * as tf from '@tensorflow/tfjs-core';
import { hasRelaxedSimd, type Kernels, loadKernels } from '@thimble/kernels';
import { median } from '../statistics.ts';
import type { Measured, Task } from '../task.ts';
import { ceiling } from './ceiling.ts';
import { type Case, memory } from './kernel-case.ts';
import { MULTIPLYING } from './multiplying-cases.ts';
import { STREAMING } from './streaming-cases.ts';

/** Milliseconds that a sample takes at least, and that the engine gets to optimise the code before. */
const SAMPLE = 4;
const WARM_UP = 60;

/** Median milliseconds of a call, for several alternatives measured in turn. */
function measure(calls: Record<string, () => void>, repeats: number): Record<string, number> {
  const runs = Object.entries(calls).map(([name, call]) => {
    const started = performance.now();
    let done = 0;
    for (; done < 3 || performance.now() - started < WARM_UP; done++) call();
    const each = (performance.now() - started) / done;
    return { name, call, count: Math.max(1, Math.round(SAMPLE / each)), times: [] as number[] };
  });
  for (let round = 0; round < repeats; round++) {
    for (const { call, count, times } of runs) {
      const started = performance.now();
      for (let i = 0; i < count; i++) call();
      times.push((performance.now() - started) / count);
    }
  }
  return Object.fromEntries(runs.map(({ name, times }) => [name, median(times)]));
}

interface Figures {
  name: string;
  unit: Case['unit'];
  work: number;
  /** Of "plain", "relaxed" and "wasm", where there is one. */
  milliseconds: Record<string, number>;
}

function measureCase(builds: Record<string, Kernels>, item: Case, repeats: number): Figures {
  const before = tf.memory().numTensors;
  const { name, unit, work, stock } = item;
  const calls: Record<string, () => void> = {};
  // Every build lays out its operands at the same addresses.
  for (const [build, kernels] of Object.entries(builds)) calls[build] = item.ours(kernels);
  tf.engine().startScope();
  if (stock) {
    const compute = stock();
    calls.wasm = () => compute().dispose();
  }
  const milliseconds = measure(calls, repeats);
  tf.engine().endScope();
  if (tf.memory().numTensors !== before) throw new Error(`${name} left tensors behind.`);
  return { name, unit, work, milliseconds };
}

async function run(repeats: number): Promise<Measured> {
  const backend = tf.getBackend();
  await tf.setBackend('wasm');
  const builds: Record<string, Kernels> = {
    plain: await loadKernels(memory, { relaxedSimd: false }),
  };
  if (hasRelaxedSimd()) builds.relaxed = await loadKernels(memory, { relaxedSimd: true });
  const { run: atMost, flops } = await ceiling();
  const most = (flops / measure({ atMost }, 3 * repeats).atMost!) * 1e-6;
  const figures = [...MULTIPLYING, ...STREAMING].map((item) => measureCase(builds, item, repeats));
  await tf.setBackend(backend);

  const head = ['kernel and shape', 'plain ms', 'speed', 'of ceiling'];
  head.push('relaxed ms', 'speed', 'of ceiling', 'wasm ms', 'wasm / best');
  const rows = figures.map(({ name, unit, work, milliseconds }) => {
    const { plain, relaxed, wasm } = milliseconds;
    const best = Math.min(plain!, relaxed ?? plain!);
    const cells = (ms?: number) => {
      if (ms === undefined) return ['', '', ''];
      const speed = (work / ms) * 1e-6;
      const share = unit === 'GFLOP/s' ? `${((100 * speed) / most).toFixed(0)} %` : '';
      return [ms.toFixed(3), `${speed.toFixed(1)} ${unit}`, share];
    };
    const stock = wasm === undefined ? ['', ''] : [wasm.toFixed(3), `${(wasm / best).toFixed(2)}x`];
    return [name, ...cells(plain), ...cells(relaxed), ...stock];
  });
  const top = ['128-bit multiply and add, no memory', '', `${most.toFixed(1)} GFLOP/s`, '100 %'];
  const table = [head, [...top, '', '', '', '', ''], ...rows];
  return { table, figures: { ceilingGflops: most, kernels: figures } };
}

export const kernels: Task = {
  about: 'the SIMD kernels by themselves, beside stock tfjs-wasm and the ceiling of the machine',
  run,
};
