// Milliseconds per training step with and without masks, on `thimble`: the same network, batch 60, Adam, in
// turn in one process. Masks that keep everything tell what a mask costs, sparse ones what zeros give back.
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { hasRelaxedSimd } from '@thimble/kernels';
import { type Granularity, prune } from 'thimble';
import { digits, noise } from '../batch.ts';
import { NETWORKS, network } from '../networks.ts';
import { median } from '../statistics.ts';
import type { Measured, Task } from '../task.ts';

const BATCH = 60;
const STEPS = 10;
const IMAGES = { digits, noise };

/** What is masked, and how much. */
const VARIANTS: Record<string, { granularity: Granularity; sparsity: number } | undefined> = {
  dense: undefined,
  'masks that keep all': { granularity: 'element', sparsity: 0 },
  '50 % masked': { granularity: 'element', sparsity: 0.5 },
  '90 % masked': { granularity: 'element', sparsity: 0.9 },
  '90 % masked in blocks': { granularity: 'block', sparsity: 0.9 },
};

async function time(model: tfl.LayersModel, x: tf.Tensor, y: tf.Tensor): Promise<number> {
  const started = performance.now();
  for (let i = 0; i < STEPS; i++) await model.trainOnBatch(x, y);
  return (performance.now() - started) / STEPS;
}

async function variant(name: string, options: (typeof VARIANTS)[string]): Promise<tfl.LayersModel> {
  const model = network(name);
  if (!options) return model;
  await prune(model, options);
  model.compile({ optimizer: 'adam', loss: 'categoricalCrossentropy' });
  return model;
}

interface Figures {
  network: string;
  images: keyof typeof IMAGES;
  milliseconds: Record<string, number[]>;
}

async function measure(
  name: string,
  images: keyof typeof IMAGES,
  repeats: number,
): Promise<Figures> {
  const { x, y } = await IMAGES[images](BATCH);
  const models: Record<string, tfl.LayersModel> = {};
  const milliseconds: Record<string, number[]> = {};
  for (const [key, options] of Object.entries(VARIANTS)) {
    models[key] = await variant(name, options);
    milliseconds[key] = [];
  }
  for (let round = 0; round <= repeats; round++) {
    for (const [key, model] of Object.entries(models)) {
      const taken = await time(model, x, y);
      if (round > 0) milliseconds[key]!.push(taken); // round 0 warms up
    }
  }
  tf.dispose([x, y]);
  for (const model of Object.values(models)) model.dispose();
  return { network: name, images, milliseconds };
}

async function run(repeats: number): Promise<Measured> {
  tf.env().set('THIMBLE_RELAXED_SIMD', hasRelaxedSimd());
  const figures: Figures[] = [];
  for (const name of NETWORKS) {
    for (const images of ['digits', 'noise'] as const) {
      figures.push(await measure(name, images, repeats));
    }
  }
  const rows = figures.flatMap(({ network, images, milliseconds }) =>
    Object.entries(milliseconds).map(([key, times], i) => [
      i === 0 ? `${network}, ${images}` : '',
      key,
      median(times).toFixed(2),
      median(times.map((ms, round) => ms / milliseconds.dense![round]!)).toFixed(3),
    ]),
  );
  const head = ['network, images', 'with', 'ms per step, median', 'this / dense'];
  return {
    table: [head, ...rows],
    figures: { relaxedSimd: hasRelaxedSimd(), networks: figures },
  };
}

export const maskedTraining: Task = {
  about: 'what masks cost per training step, on thimble',
  run,
};
