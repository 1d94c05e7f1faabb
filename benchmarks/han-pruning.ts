// LeNet-300-100 and LeNet-5 trained on real MNIST, and pruned in rounds to a twelfth of their weights as by Han
// et al. (2015).
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  type Criterion,
  type data,
  type FitOptions,
  fit,
  type Granularity,
  iterativePruning,
  schedules,
} from 'thimble';
import { network } from 'thimble-examples/shared/networks';
import { training } from './study.ts';

/** How a network is trained and pruned. */
export interface Plan {
  denseEpochs: number;
  rounds: number;
  /** Epochs of training after each round but the last, and after the last. */
  roundEpochs: number;
  lastEpochs: number;
  /** Share of each layer that is left in the end (Han et al., table 4). */
  left: Record<string, number>;
  /** Dropout before the dense layers while pruning and after; default none. */
  drop?: number;
}

/** The networks that are pruned. */
export type Pruned = 'lenet300' | 'lenet5';

export const PLANS: Record<Pruned, Plan> = {
  lenet300: {
    denseEpochs: 20,
    rounds: 6,
    roundEpochs: 2,
    lastEpochs: 14,
    left: { fc1: 0.08, fc2: 0.09, output: 0.26 },
    drop: 0.1,
  },
  lenet5: {
    denseEpochs: 8,
    rounds: 6,
    roundEpochs: 1,
    lastEpochs: 7,
    left: { conv1: 0.66, conv2: 0.12, fc1: 0.08, output: 0.19 },
  },
};
/** Of Adam, at its highest. */
export const RATE = 1.2e-3;

/** Where the images are and where checkpoints go. */
export interface Place {
  output: string;
  train: data.ImageDataset;
  validation: data.ImageDataset;
}

/** Training with Adam, a rate that falls as a cosine does, and errors on validation images. */
export function trainingOn(
  { validation }: Pick<Place, 'validation'>,
  seed: number,
  epochs: number,
  rate: number,
): FitOptions {
  return {
    ...training(seed, epochs, rate),
    batchSize: 60,
    metrics: ['accuracy'],
    validationData: validation,
    validationBatchSize: 1000,
  };
}

/** The dense network of a seed; trained once, and read from its checkpoint where it is needed again. */
export async function denseNetwork(
  place: Place,
  name: Pruned,
  seed: number,
  epochs: number = PLANS[name].denseEpochs,
): Promise<LayersModel> {
  const model = network(name, seed);
  const checkpoint = `${place.output}/dense-${name}-${epochs}-${seed}.checkpoint`;
  await fit(model, place.train, { ...trainingOn(place, seed, epochs, RATE), checkpoint });
  return model;
}

/** The dense network of a seed trained on as the pruned ones are, with a callback that prunes it or without. */
export async function retrained(
  place: Place,
  name: Pruned,
  seed: number,
  more: Pick<FitOptions, 'callbacks' | 'checkpoint'> = {},
): Promise<LayersModel> {
  const { rounds, roundEpochs, lastEpochs, drop } = PLANS[name];
  const model = network(name, seed, drop);
  model.setWeights((await denseNetwork(place, name, seed)).getWeights());
  const pruning = (rounds - 1) * roundEpochs;
  await fit(model, place.train, {
    ...trainingOn(place, seed + 100, pruning + lastEpochs, RATE),
    learningRate: schedules.cosine(RATE, { hold: pruning }),
    ...more,
  });
  return model;
}

/** What every round prunes so that after all of them these shares are left: of a layer, or of all others. */
export function fractions(
  share: number,
  left: Record<string, number>,
  rounds: number,
): { fraction: number; perLayer: Record<string, number> } {
  const fraction = (kept: number) => 1 - kept ** (1 / rounds);
  const perLayer = Object.entries(left).map(([layer, kept]) => [layer, fraction(kept)]);
  return { fraction: fraction(share), perLayer: Object.fromEntries(perLayer) };
}

/** The dense network of a seed pruned in rounds to the shares of its plan; the masks stay on its layers. */
export async function iterated(
  place: Place,
  name: Pruned,
  seed: number,
  criterion: Criterion,
  granularity: Granularity,
  checkpoint?: string,
): Promise<LayersModel> {
  const { rounds, roundEpochs, left } = PLANS[name];
  const callback = iterativePruning({
    rounds,
    ...fractions(0.08, left, rounds),
    fineTuneEpochs: roundEpochs,
    criterion,
    granularity,
    seed,
  });
  return retrained(place, name, seed, {
    callbacks: [callback],
    ...(checkpoint === undefined ? {} : { checkpoint }),
  });
}
