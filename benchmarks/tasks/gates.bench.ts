// Milliseconds of one example through a residual network of gated blocks, by how many of its gates are open: in the packed
// runtime and as a model on `thimble`, in turn in one process. Random weights; the biases of the gates decide.
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { gateUsage, lower, runtime } from 'thimble';
import { BLOCKS, residual } from '../gated-nets.ts';
import { median } from '../statistics.ts';
import type { Measured, Task } from '../task.ts';

const OPEN = [BLOCKS, BLOCKS / 2, 0];
const SIDE = 28;
/** Runs that are timed together. */
const RUNS = 50;

interface Figures {
  open: number;
  macs: number;
  /** One time per round. */
  packed: number[];
  model: number[];
}

/** Opens the first gates and closes the others. */
function decide(model: tfl.LayersModel, open: number): void {
  const weights = model.getWeights().map((weight, i) => {
    const [, block, kind] =
      /^block(\d+)\/.*gate\/(kernel|bias)$/.exec(model.weights[i]!.originalName) ?? [];
    if (kind === undefined) return weight;
    if (kind === 'kernel') return tf.zerosLike(weight);
    return tf.fill(weight.shape, Number(block) < open ? 1 : -1);
  });
  model.setWeights(weights);
}

function time(run: () => unknown): number {
  const begun = performance.now();
  for (let i = 0; i < RUNS; i++) run();
  return (performance.now() - begun) / RUNS;
}

async function run(repeats: number): Promise<Measured> {
  const x = tf.randomUniform([1, SIDE, SIDE, 1], 0, 1, 'float32', 1);
  const values = x.dataSync() as Float32Array;
  const cases: (Figures & { net: runtime.PackedModel; layers: tfl.LayersModel })[] = [];
  for (const open of OPEN) {
    const layers = residual(0, false);
    tf.tidy(() => decide(layers, open));
    const { executed, macs, scores } = gateUsage(layers, x);
    scores.dispose();
    if (executed[0] !== open) throw new Error(`${executed[0]} gates are open, not ${open}.`);
    const net = await runtime.pack(lower(layers));
    cases.push({ open, macs: macs[0]!, packed: [], model: [], net, layers });
  }
  for (let round = 0; round <= repeats; round++) {
    for (const { net, layers, packed, model } of cases) {
      const times = [
        time(() => net.predict(values)),
        time(() => tf.tidy(() => (layers.predict(x) as tf.Tensor).dataSync())),
      ] as const;
      if (round === 0) continue; // it warms up
      packed.push(times[0]);
      model.push(times[1]);
    }
  }
  for (const { net, layers } of cases) {
    net.dispose();
    layers.dispose();
  }
  x.dispose();
  const figures = cases.map(({ open, macs, packed, model }) => ({ open, macs, packed, model }));
  const [whole] = figures as [Figures];
  const ratio = (over: number[], under: number[]) =>
    median(over.map((ms, round) => ms / under[round]!)).toFixed(3);
  const rows = figures.map(({ open, macs, packed, model }) => [
    `${open} of ${BLOCKS}`,
    (macs / whole.macs).toFixed(3),
    median(packed).toFixed(3),
    ratio(packed, whole.packed),
    median(model).toFixed(3),
    ratio(model, whole.model),
  ]);
  const head = ['gates open', 'MACs / all open', 'packed, ms', 'packed / all open'];
  return { table: [[...head, 'model, ms', 'model / all open'], ...rows], figures };
}

export const gates: Task = {
  about: 'what one example costs by how many gates are open, packed and as a model',
  run,
};
