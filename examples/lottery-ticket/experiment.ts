// The experiments of the presets.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import type { data } from 'thimble';
import {
  type LotteryBranch,
  type LotteryControl,
  lotteryTicket,
  type ProgressOption,
} from 'thimble';
import { type NetworkName, network } from '../shared/networks.ts';

/** A schedule of trainings: how long, how far, compared with what and where. */
export interface Preset {
  epochs: number;
  rounds: number;
  /** Controls and the rounds at which they are trained. */
  controls: { controls: LotteryControl[]; rounds: number[] }[];
}

/** After 7 rounds 21 % of LeNet-300-100 is left, after 15 rounds 3.6 %. */
const MARKS = [7, 15];
const SIGNS: LotteryControl[] = ['signOnly', 'loseSign'];
const OTHERS: LotteryControl[] = ['oneShot', 'reinitSign', 'shuffled', 'shuffledSign'];

export const PRESETS: Record<string, Preset> = {
  quick: {
    epochs: 2,
    rounds: 15,
    controls: [{ controls: ['reinit', 'random', ...SIGNS], rounds: MARKS }],
  },
  study: {
    epochs: 6,
    rounds: 15,
    controls: [
      { controls: ['reinit'], rounds: [3, 7, 11, 15] },
      { controls: ['random', ...SIGNS, ...OTHERS], rounds: MARKS },
    ],
  },
  paper: {
    epochs: 55,
    rounds: 20,
    controls: [
      { controls: ['reinit'], rounds: [1, 3, 5, 7, 9, 11, 13, 15, 17, 19] },
      { controls: ['random', ...SIGNS, ...OTHERS], rounds: MARKS },
    ],
  },
};

/** Adam's rate and the fraction pruned per round of the convolutions, as the papers have them. */
const SETTINGS: Record<NetworkName, { rate: number; convolutions: number }> = {
  lenet300: { rate: 1.2e-3, convolutions: 0.2 },
  lenet5: { rate: 1.2e-3, convolutions: 0.2 },
  conv2: { rate: 2e-4, convolutions: 0.1 },
  conv4: { rate: 3e-4, convolutions: 0.1 },
};

const FRACTION = 0.2;

/** What goes in a round from the layers that do not lose {@link FRACTION}: half of it from the output. */
export function fractionsOf(name: NetworkName, model: LayersModel): Record<string, number> {
  const convolutions = model.layers.filter((layer) => layer.name.startsWith('conv'));
  const fraction = SETTINGS[name].convolutions;
  return {
    ...Object.fromEntries(convolutions.map((layer) => [layer.name, fraction])),
    output: FRACTION / 2,
  };
}

export interface ExperimentOptions {
  model: NetworkName;
  preset: Preset;
  train: data.ImageDataset;
  test: data.ImageDataset;
  seeds: number[];
  folder: string;
  progress: ProgressOption;
  signal?: AbortSignal;
}

/** Runs a preset over all seeds; what is finished already is read from the folder. */
export async function runExperiment(options: ExperimentOptions): Promise<LotteryBranch[]> {
  const { model: name, preset, test, seeds, folder, progress, signal } = options;
  const [train, validation] = options.train.split(1 / 12, 'lottery ticket');
  const { rate } = SETTINGS[name];
  const model = network(name, 0);
  const all = new Map<string, LotteryBranch>();
  for (const { controls, rounds } of preset.controls) {
    const { branches } = await lotteryTicket({
      model,
      data: train,
      validationData: validation,
      testData: test,
      rounds: preset.rounds,
      fraction: FRACTION,
      perLayer: fractionsOf(name, model),
      controls,
      controlRounds: rounds,
      seeds,
      training: {
        epochs: preset.epochs,
        batchSize: 60,
        optimizer: 'adam',
        learningRate: rate,
        loss: 'categoricalCrossentropy',
      },
      evaluateEvery: 100,
      folder,
      progress,
      ...(signal ? { signal } : {}),
    });
    for (const branch of branches) all.set(`${branch.seed} ${branch.kind} ${branch.round}`, branch);
  }
  model.dispose();
  return [...all.values()];
}
