// Trains every compact architecture and decomposition, and beside each a plain narrower network of equal cost.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  type data,
  decompose,
  type FitOptions,
  fit,
  type ProgressOption,
  perforateByImpact,
  schedules,
  summarize,
} from 'thimble';
import { testErrors } from '../shared/test-errors.ts';
import { ARCHITECTURES, DECOMPOSITIONS, network, plainNetwork, widthOf } from './networks.ts';

/** How long to train. */
export interface Preset {
  /** Images to train on. */
  images: number;
  epochs: number;
  /** Epochs of training after a decomposition. */
  fineTune: number;
  /** Forward passes that are timed. */
  rounds: number;
}

export const PRESETS: Record<string, Preset> = {
  quick: { images: 6000, epochs: 2, fineTune: 1, rounds: 11 },
  paper: { images: 60_000, epochs: 15, fineTune: 5, rounds: 31 },
};

/** What became of one network. */
export interface Outcome {
  params: number;
  macs: number;
  /** Before entropy coding. */
  bytes: number;
  /** On the test set. */
  errors: number;
  testSize: number;
  /** Median of a forward pass over a batch. */
  milliseconds: number;
  /** That time over the plain network's of full width, measured in turn with it. */
  relativeTime: number;
}

export interface ExperimentOptions {
  preset: Preset;
  train: data.ImageDataset;
  test: data.ImageDataset;
  seed: number;
  progress: ProgressOption;
  signal?: AbortSignal;
  /** Folder for the checkpoint of the network that is decomposed; without it, it is trained anew every time. */
  checkpoints?: string;
}

/** All that is compared; the plain network of full width first. */
export const METHODS: readonly string[] = [
  'plain',
  ...Object.keys(ARCHITECTURES),
  ...Object.keys(DECOMPOSITIONS),
];

/** Images of a batch whose forward pass is timed. */
export const BATCH = 128;

/** Trains one of {@link METHODS} and measures it. */
export async function runMethod(name: string, options: ExperimentOptions): Promise<Outcome> {
  const model = await made(name, options);
  try {
    return await measure(model, options);
  } finally {
    model.dispose();
  }
}

/** Trains the plain network of some width, for as long as any other, and measures it. */
export async function runPlain(width: number, options: ExperimentOptions): Promise<Outcome> {
  const { epochs, fineTune } = options.preset;
  const model = plainNetwork(options.seed, width);
  await train(model, epochs + fineTune, 2e-3, options);
  const outcome = await measure(model, options);
  model.dispose();
  return outcome;
}

/** Everything for one seed: each method with its plain peer of equal multiply-accumulates. */
export async function runExperiment(
  options: ExperimentOptions,
): Promise<{ name: string; outcome: Outcome; peer: Outcome }[]> {
  const peers = new Map<number, Outcome>();
  const results = [];
  for (const name of METHODS) {
    const outcome = await runMethod(name, options);
    const width = name === 'plain' ? 1 : widthOf(outcome.macs);
    const peer = peers.get(width) ?? (name === 'plain' ? outcome : await runPlain(width, options));
    peers.set(width, peer);
    results.push({ name, outcome, peer });
  }
  return results;
}

async function made(name: string, options: ExperimentOptions): Promise<LayersModel> {
  const { preset, seed, progress, signal, checkpoints } = options;
  const { epochs, fineTune } = preset;
  const decomposition = DECOMPOSITIONS[name];
  if (decomposition) {
    const whole = plainNetwork(seed);
    await train(
      whole,
      epochs,
      2e-3,
      options,
      checkpoints && `${checkpoints}/plain-${seed}.checkpoint`,
    );
    const smaller = await decompose(whole, {
      ...decomposition,
      seed,
      progress,
      ...(signal ? { signal } : {}),
    });
    whole.dispose();
    await train(smaller, fineTune, 5e-4, options);
    return smaller;
  }
  const slot = ARCHITECTURES[name];
  const model = slot ? network(slot, seed) : plainNetwork(seed);
  if (name === 'perforated, impact') {
    await train(model, 1, 2e-3, options);
    await perforateByImpact(model, {
      data: options.train.take(Math.min(1000, options.train.size)),
      loss: 'categoricalCrossentropy',
      batchSize: 100,
      progress,
    });
    await train(model, epochs + fineTune - 1, 2e-3, options);
  } else await train(model, epochs + fineTune, 2e-3, options);
  return model;
}

async function train(
  model: LayersModel,
  epochs: number,
  rate: number,
  { preset, seed, progress, signal, train: all }: ExperimentOptions,
  checkpoint?: string,
): Promise<void> {
  const training: FitOptions = {
    epochs,
    batchSize: 64,
    optimizer: 'adam',
    learningRate: schedules.cosine(rate),
    loss: 'categoricalCrossentropy',
    seed,
    progress,
    ...(signal ? { signal } : {}),
    ...(checkpoint ? { checkpoint } : {}),
  };
  await fit(model, all.take(Math.min(preset.images, all.size)), training);
}

async function measure(
  model: LayersModel,
  { test, seed, preset }: ExperimentOptions,
): Promise<Outcome> {
  const errors = await testErrors(model, test);
  const { params, macs, bytes } = summarize(model).total;
  const reference = plainNetwork(seed);
  const [milliseconds, whole] = medians([model, reference], preset.rounds);
  reference.dispose();
  const relativeTime = milliseconds! / whole!;
  return {
    params,
    macs,
    bytes,
    errors,
    testSize: test.size,
    milliseconds: milliseconds!,
    relativeTime,
  };
}

/** Median time of a forward pass of each model, measured in turn. */
function medians(models: readonly LayersModel[], rounds: number): number[] {
  const warming = Math.min(4, rounds);
  const x = tf.randomUniform([BATCH, 28, 28, 1], 0, 1, 'float32', 1);
  const times = models.map(() => [] as number[]);
  for (let round = 0; round < warming + rounds; round++) {
    for (const [i, model] of models.entries()) {
      const begun = performance.now();
      tf.tidy(() => (model.predict(x, { batchSize: BATCH }) as tf.Tensor).dataSync());
      if (round >= warming) times[i]!.push(performance.now() - begun);
    }
  }
  x.dispose();
  return times.map((each) => each.sort((a, b) => a - b)[Math.floor(each.length / 2)]!);
}
