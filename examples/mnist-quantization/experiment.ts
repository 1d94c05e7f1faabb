// LeNet-5 in float, in fewer and fewer bits after training, and trained on in few bits.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  callbacks,
  copyModel,
  type data,
  type FitOptions,
  fit,
  type ProgressOption,
  type QuantizeOptions,
  quantize,
  quantizeAware,
  schedules,
  summarize,
} from 'thimble';
import { network } from '../shared/networks.ts';
import { testErrors } from '../shared/test-errors.ts';

/** How long to train and to calibrate. */
export interface Preset {
  epochs: number;
  /** Images of the training set that calibration looks at. */
  examples: number;
  /** Steps of AdaRound per layer. */
  iterations: number;
  /** Epochs of training in few bits, from the float network. */
  fineTune: number;
}

export const PRESETS: Record<string, Preset> = {
  quick: { epochs: 3, examples: 500, iterations: 500, fineTune: 1 },
  paper: { epochs: 20, examples: 1000, iterations: 10_000, fineTune: 5 },
};

/** What became of the network in one form. */
export interface Outcome {
  name: string;
  /** Of a weight. */
  bits: number;
  /** Of the whole model, scales and biases included, before entropy coding. */
  bytes: number;
  /** On the test set. */
  errors: number;
  testSize: number;
  /** Of training, or of quantisation after it. */
  seconds: number;
}

export interface ExperimentOptions {
  preset: Preset;
  train: data.ImageDataset;
  test: data.ImageDataset;
  seed: number;
  progress: ProgressOption;
  signal?: AbortSignal;
  /** Folder for the checkpoint of the float network; without it an interrupted run starts anew. */
  checkpoints?: string;
}

/** The forms of the network after training; the integer ones get activations of 8 bits. */
export function forms({ iterations }: Preset): Record<string, QuantizeOptions> {
  const four = { bits: 4, ranges: 'mse' } as const;
  return {
    float16: { type: 'float' },
    'int8, one range per layer': { bits: 8, granularity: 'tensor' },
    'int8, one range per channel': { bits: 8 },
    'int4, rounded to nearest': four,
    'int4, AdaRound': { ...four, rounding: { iterations } },
  };
}

/** Bits of the weights of the forms that are trained on. */
const TRAINED: Record<string, number> = { 'int8, trained': 8, 'int4, trained': 4 };

/** Trains the network once, quantises it in every form, and trains it on in few bits. */
export async function runExperiment(options: ExperimentOptions): Promise<Outcome[]> {
  const { preset, test, seed, progress, signal, checkpoints } = options;
  const [train] = options.train.split(1 / 12, 'validation');
  const model = network('lenet5', seed);
  const training = (epochs: number, rate: number): FitOptions => ({
    epochs,
    batchSize: 64,
    optimizer: 'adam',
    learningRate: schedules.cosine(rate),
    loss: 'categoricalCrossentropy',
    metrics: ['accuracy'],
    seed,
    progress,
    ...(signal ? { signal } : {}),
  });
  const { seconds } = await fit(model, train, {
    ...training(preset.epochs, 1e-3),
    ...(checkpoints ? { checkpoint: `${checkpoints}/float-${seed}.checkpoint` } : {}),
  });
  const outcomes = [await describe('float32', 32, model, test, seconds)];
  for (const [name, form] of Object.entries(forms(preset))) {
    const begun = performance.now();
    const quantized = await quantize(model, {
      calibration: train,
      examples: preset.examples,
      progress,
      ...(signal ? { signal } : {}),
      ...form,
    });
    const taken = (performance.now() - begun) / 1000;
    outcomes.push(await describe(name, form.bits ?? 16, quantized, test, taken));
    quantized.dispose();
  }
  for (const [name, bits] of Object.entries(TRAINED)) {
    const aware = quantizeAware(copyModel(model), { weights: { bits }, activations: { bits: 8 } });
    const history = await fit(aware, train, {
      ...training(preset.fineTune, 2e-4),
      callbacks: [callbacks.quantizationAwareTraining({ observeSteps: 20 })],
    });
    outcomes.push(await describe(name, bits, aware, test, history.seconds));
    aware.dispose();
  }
  model.dispose();
  return outcomes;
}

async function describe(
  name: string,
  bits: number,
  model: LayersModel,
  test: data.ImageDataset,
  seconds: number,
): Promise<Outcome> {
  const errors = await testErrors(model, test);
  const { bytes } = summarize(model).total;
  return { name, bits, bytes, errors, testSize: test.size, seconds };
}
