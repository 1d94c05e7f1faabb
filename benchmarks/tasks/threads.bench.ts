// Milliseconds of an image in batches, in the packed runtime with one thread and with as many as there are cores, in turn in one
// process: the trained networks of `npm run bench -- inference`, distorted MNIST or its size.
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { Random } from '@thimble/base';
import { runtime } from 'thimble';
import { MODELS, NETS } from '../inference-nets.ts';
import { median } from '../statistics.ts';
import type { Measured, Task } from '../task.ts';

const FORMS = ['dense', 'sparse90'];
const BATCHES = [16, 256];

interface Figures {
  net: string;
  form: string;
  batch: number;
  threads: number;
  /** Of an image: one time per round. */
  milliseconds: number[];
}

async function measure(path: string, side: number, batch: number, repeats: number) {
  const file = new Uint8Array(await readFile(path));
  const counts = [1, availableParallelism()];
  const nets = await Promise.all(counts.map((threads) => runtime.load(file, { threads })));
  const random = new Random(0);
  const images = Float32Array.from({ length: batch * side * side }, () => random.uniform());
  const times = counts.map((threads) => ({ batch, threads, milliseconds: [] as number[] }));
  for (let round = 0; round <= repeats; round++) {
    for (const [i, net] of nets.entries()) {
      const begun = performance.now();
      net.predict(images);
      // Round 0 warms up.
      if (round > 0) times[i]!.milliseconds.push((performance.now() - begun) / batch);
    }
  }
  for (const net of nets) net.dispose();
  return times;
}

async function run(repeats: number): Promise<Measured> {
  const figures: Figures[] = [];
  for (const { name, title, side } of NETS) {
    for (const form of FORMS) {
      for (const batch of BATCHES) {
        const times = await measure(`${MODELS}${name}-${form}.thimble`, side, batch, repeats);
        figures.push(...times.map((each) => ({ net: title, form, ...each })));
      }
    }
  }
  const rows = figures.map(({ net, form, batch, threads, milliseconds }, i) => {
    const one = figures[i - (i % 2)]!;
    const ratio = median(one.milliseconds.map((ms, round) => ms / milliseconds[round]!));
    const first = [`${net}, ${form}`, String(batch), String(threads)];
    return [...first, median(milliseconds).toFixed(4), ratio.toFixed(2)];
  });
  const head = ['network', 'batch', 'threads', 'ms an image', 'times as fast as one thread'];
  return { table: [head, ...rows], figures };
}

export const threads: Task = {
  about: 'batches in the packed runtime, with one thread and with all cores',
  run,
};
