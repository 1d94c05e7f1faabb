// Milliseconds per training step with and without masks, on `thimble`: the same network, batch 60, Adam, in
// turn in one process. Masks that keep everything tell what a mask costs, sparse ones what zeros give back.
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { hasRelaxedSimd } from '@thimble/kernels';
import { type Granularity, prune } from 'thimble';
import { digits, noise } from '../batch.ts';
import { NETWORKS, network } from '../networks.ts';
import { BATCH, compareSteps, type StepTimes, stepTable } from '../step-times.ts';
import type { Measured, Task } from '../task.ts';

const IMAGES = { digits, noise };

/** What is masked, and how much. */
const VARIANTS: Record<string, { granularity: Granularity; sparsity: number } | undefined> = {
  dense: undefined,
  'masks that keep all': { granularity: 'element', sparsity: 0 },
  '50 % masked': { granularity: 'element', sparsity: 0.5 },
  '90 % masked': { granularity: 'element', sparsity: 0.9 },
  '90 % masked in blocks': { granularity: 'block', sparsity: 0.9 },
};

async function variant(name: string, options: (typeof VARIANTS)[string]): Promise<tfl.LayersModel> {
  const model = network(name);
  if (!options) return model;
  await prune(model, options);
  model.compile({ optimizer: 'adam', loss: 'categoricalCrossentropy' });
  return model;
}

interface Figures extends StepTimes {
  network: string;
  images: keyof typeof IMAGES;
}

async function measure(
  name: string,
  images: keyof typeof IMAGES,
  repeats: number,
): Promise<Figures> {
  const models: Record<string, tfl.LayersModel> = {};
  for (const [key, options] of Object.entries(VARIANTS)) models[key] = await variant(name, options);
  const times = await compareSteps(models, await IMAGES[images](BATCH), repeats);
  return { network: name, images, ...times };
}

async function run(repeats: number): Promise<Measured> {
  tf.env().set('THIMBLE_RELAXED_SIMD', hasRelaxedSimd());
  const figures: Figures[] = [];
  for (const name of NETWORKS) {
    for (const images of ['digits', 'noise'] as const) {
      figures.push(await measure(name, images, repeats));
    }
  }
  return stepTable(figures, ['network, images', 'with'], ({ network, images }) => {
    return `${network}, ${images}`;
  });
}

export const maskedTraining: Task = {
  about: 'what masks cost per training step, on thimble',
  run,
};
