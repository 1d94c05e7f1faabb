// Trains the networks one after the other, and tells what became of each.
import { type data, type FitOptions, fit, schedules, summarize } from 'thimble';
import { testErrors } from '../shared/test-errors.ts';
import { networks, type Part } from './networks.ts';

/** How much is trained. */
export interface Preset {
  /** Units of the hidden layers. */
  units: { perceptron: number; bnn: number };
  epochs: Record<Part, number>;
  batchSize: number;
}

export const PRESETS: Record<string, Preset> = {
  quick: {
    units: { perceptron: 256, bnn: 256 },
    epochs: { binaryConnect: 4, xnor: 2, bnn: 4 },
    batchSize: 100,
  },
  paper: {
    units: { perceptron: 1024, bnn: 512 },
    epochs: { binaryConnect: 1000, xnor: 60, bnn: 1000 },
    batchSize: 100,
  },
};

/** Loss and highest learning rate of Adam, which falls to 0 as a cosine does. */
const TRAINING: Record<Part, FitOptions & { rate: number }> = {
  binaryConnect: { loss: 'squaredHinge', rate: 3e-3 },
  xnor: { loss: 'categoricalCrossentropyFromLogits', rate: 3e-3 },
  bnn: { loss: 'squaredHinge', rate: 3e-3 },
};

/** One trained network. */
export interface Trained {
  name: string;
  parameters: number;
  /** What the weights take as they are used at test time, before entropy coding. */
  bits: number;
  bytes: number;
  errors: number;
  testSize: number;
  seconds: number;
}

export interface ExperimentOptions {
  preset: Preset;
  train: data.ImageDataset;
  test: data.ImageDataset;
  seed: number;
  /** Default all. */
  parts?: readonly Part[] | undefined;
  progress: boolean;
  signal?: AbortSignal;
  /** Folder for checkpoints; without it an interrupted run starts anew. */
  checkpoints?: string;
}

/** All networks of one seed, in the order of the table. */
export async function runExperiment(options: ExperimentOptions): Promise<Trained[]> {
  const { preset, train, test, seed, parts, progress, signal, checkpoints } = options;
  const chosen = networks(seed, preset.units).filter(({ part }) => parts?.includes(part) ?? true);
  const results: Trained[] = [];
  for (const { name, part, make } of chosen) {
    if (progress) console.log(name);
    const model = make();
    const { rate, ...training } = TRAINING[part];
    const file = `${name.toLowerCase().replace(/\W+/g, '-')}-${seed}.checkpoint`;
    const history = await fit(model, train, {
      ...training,
      optimizer: 'adam',
      learningRate: schedules.cosine(rate),
      epochs: preset.epochs[part],
      batchSize: preset.batchSize,
      seed,
      progress,
      signal,
      ...(checkpoints ? { checkpoint: `${checkpoints}/${file}` } : {}),
    });
    const { params, bits, bytes } = summarize(model).total;
    const errors = await testErrors(model, test);
    results.push({
      name,
      parameters: params,
      bits,
      bytes,
      errors,
      testSize: test.size,
      seconds: history.seconds,
    });
    model.dispose();
  }
  return results;
}
