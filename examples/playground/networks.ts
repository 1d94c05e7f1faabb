// The networks of the playground: one small convolutional network for digits in several compressed forms.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  callbacks,
  clusterWeights,
  copyModel,
  criteria,
  type data,
  earlyExits,
  extractWidth,
  type FitOptions,
  fit,
  fitExits,
  iterativePruning,
  layers,
  quantize,
  schedules,
  withSeed,
} from 'thimble';

const { batchNormalization, conv2d, dense, flatten, maxPooling2d, reLU } = tfl.layers;
const inputShape: [number, number, number] = [28, 28, 1];
const relu = { activation: 'relu' } as const;
const output = () => dense({ name: 'output', units: 10, activation: 'softmax' });

/** Widths of the slimmable network. */
export const WIDTHS: number[] = [0.25, 0.5, 0.75, 1];

/** A network and what the page says of it. */
export interface Form {
  id: string;
  title: string;
  about: string;
  model: LayersModel;
  /** Of a slimmable network. */
  width?: number;
}

/** How long to train: epochs from the start, and from trained weights. */
export interface Length {
  epochs: number;
  tuning: number;
}

export interface Training extends Length {
  train: data.ImageDataset;
  seed: number;
  progress: boolean;
  signal?: AbortSignal;
  /** Folder for checkpoints. */
  checkpoints?: string;
}

/** 5x5 convolutions of 16 and 32 filters, dense layers of 128 and 10: 80,202 weights. */
function plain(seed: number): tfl.Sequential {
  return withSeed(seed, () =>
    tfl.sequential({
      name: 'digits',
      layers: [
        conv2d({ name: 'conv1', filters: 16, kernelSize: 5, ...relu, inputShape }),
        maxPooling2d({ name: 'pool1', poolSize: 2 }),
        conv2d({ name: 'conv2', filters: 32, kernelSize: 5, ...relu }),
        maxPooling2d({ name: 'pool2', poolSize: 2 }),
        flatten({ name: 'flatten' }),
        dense({ name: 'fc1', units: 128, ...relu }),
        output(),
      ],
    }),
  );
}

/** The same shape with one bit per weight and per activation in the middle. */
function binary(seed: number): tfl.Sequential {
  return withSeed(seed, () =>
    tfl.sequential({
      name: 'binary',
      layers: [
        conv2d({ filters: 16, kernelSize: 5, inputShape }),
        batchNormalization({ momentum: 0.9 }),
        reLU(),
        maxPooling2d({ poolSize: 2 }),
        layers.xnorConv2d({ filters: 32, kernelSize: 5, ...relu }),
        maxPooling2d({ poolSize: 2 }),
        flatten(),
        layers.xnorDense({ units: 128, ...relu }),
        output(),
      ],
    }),
  );
}

/** The same shape at four widths. */
function slimmable(seed: number): tfl.Sequential {
  const conv = (filters: number, first: object = {}) =>
    layers.slimmableConv2d({ filters, kernelSize: 5, useBias: false, widths: WIDTHS, ...first });
  const norm = () => layers.slimmableBatchNormalization({ widths: WIDTHS, momentum: 0.9 });
  return withSeed(seed, () =>
    tfl.sequential({
      name: 'slimmable',
      layers: [
        conv(16, { inputShape }),
        norm(),
        reLU(),
        maxPooling2d({ poolSize: 2 }),
        conv(32),
        norm(),
        reLU(),
        maxPooling2d({ poolSize: 2 }),
        flatten(),
        layers.slimmableDense({ units: 128, widths: WIDTHS, ...relu }),
        layers.slimmableDense({ units: 10, widths: WIDTHS, activation: 'softmax' }),
      ],
    }),
  );
}

/** Trains all forms, one after the other; each is handed over as soon as it is there, and disposed of then. */
export async function* trainedForms(training: Training): AsyncGenerator<Form> {
  const { train, seed, epochs, tuning, progress } = training;
  const options = (name: string, length: number, learningRate: number): FitOptions => ({
    epochs: length,
    batchSize: 64,
    learningRate: schedules.cosine(learningRate),
    loss: 'categoricalCrossentropy',
    metrics: ['accuracy'],
    seed,
    progress,
    ...(training.signal ? { signal: training.signal } : {}),
    ...(training.checkpoints ? { checkpoint: `${training.checkpoints}/${name}.checkpoint` } : {}),
  });
  const dense = plain(seed);
  await fit(dense, train, options('dense', epochs, 2e-3));
  yield {
    id: 'dense',
    title: 'Dense',
    about: 'As it was trained, 32 bits a weight',
    model: dense,
  };

  const inBits = await quantize(dense, { bits: 8, calibration: train, examples: 500, progress });
  yield {
    id: 'int8',
    title: '8 bits',
    about: 'Weights and values in between in 8 bits, quantised after training',
    model: inBits,
  };
  inBits.dispose();

  const pruned = async (name: string, granularity: 'block' | 'element', fraction: number) => {
    const model = copyModel(dense);
    const rounds = 4;
    const pruning = iterativePruning({
      rounds,
      fraction: 1 - (1 - fraction) ** (1 / rounds),
      perLayer: { conv1: 1 - 0.6 ** (1 / rounds), output: 1 - 0.4 ** (1 / rounds) },
      fineTuneEpochs: 1,
      criterion: criteria.magnitude(),
      granularity,
      seed,
    });
    const taught = callbacks.distillation({ teacher: dense, temperature: 3, alpha: 0.5 });
    await fit(model, train, {
      ...options(name, rounds - 1 + tuning, 1.5e-3),
      callbacks: [pruning, taught],
    });
    return { model, taught };
  };
  const blocks = await pruned('pruned', 'block', 0.9);
  yield {
    id: 'pruned',
    title: 'Pruned',
    about: 'A tenth of the weights left, in small blocks: fast',
    model: blocks.model,
  };
  blocks.model.dispose();

  const single = await pruned('clustered', 'element', 0.95);
  clusterWeights(single.model, { clusters: 16 });
  await fit(single.model, train, {
    ...options('shared', 1, 3e-4),
    callbacks: [single.taught],
  });
  yield {
    id: 'clustered',
    title: 'Pruned, 4 bits',
    about: 'A twentieth of the weights left, 16 shared values: small',
    model: single.model,
  };
  single.model.dispose();

  const signs = binary(seed);
  await fit(signs, train, options('binary', epochs, 2e-3));
  yield {
    id: 'binary',
    title: 'Binary',
    about: 'Weights and values in between are +1 or -1 in the middle layers (XNOR-Net)',
    model: signs,
  };
  signs.dispose();

  const slim = slimmable(seed);
  await fit(slim, train, {
    ...options('slim', epochs, 2e-3),
    callbacks: [callbacks.slimmableTraining()],
  });
  for (const width of WIDTHS) {
    const model = await extractWidth(slim, width);
    yield {
      id: `slim-${100 * width}`,
      title: 'Slim',
      about: 'One network that was trained to run at four widths',
      model,
      width,
    };
    model.dispose();
  }
  slim.dispose();

  const branchy = withSeed(`heads ${seed}`, () =>
    earlyExits(dense, { after: ['pool1', 'pool2'], head: { hidden: 32 } }),
  );
  await fitExits(branchy, train, {
    ...options('exits', tuning, 1e-3),
    lossWeights: [1, 0.5, 0.5],
  });
  yield {
    id: 'exits',
    title: 'Early exits',
    about: 'Answers after the first or second convolution where it is sure already',
    model: branchy,
  };
  branchy.dispose();
}
