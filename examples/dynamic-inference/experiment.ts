// One network of several widths that can answer early: trained once, then measured at every width and exit, and leaving
// as soon as it is sure.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import {
  callbacks,
  chooseThresholds,
  type data,
  earlyExits,
  evaluateExits,
  type FitOptions,
  fit,
  fitExits,
  layers,
  median,
  type ProgressOption,
  predictEarly,
  schedules,
  setWidth,
  withSeed,
} from 'thimble';

/** How much is trained and timed. */
export interface Preset {
  /** Filters of the first convolution; twice as many at each further resolution. */
  filters: number;
  /** Epochs of all widths without exits, and of all widths and exits from there. */
  epochs: number;
  joint: number;
  /** Test images that are timed, a hundred at a time, and how often. */
  timed: number;
  repeats: number;
}

export const PRESETS: Record<string, Preset> = {
  quick: { filters: 8, epochs: 2, joint: 2, timed: 2000, repeats: 5 },
  paper: { filters: 16, epochs: 12, joint: 8, timed: 10_000, repeats: 9 },
};

/** Parts of the channels that are computed. */
export const WIDTHS: readonly number[] = [0.25, 0.5, 1];
/** Parts of the way from the cost of the first exit to that of the last: budgets to choose thresholds for. */
const BUDGETS = [0.1, 0.25, 0.5];
const BATCH = 100;

/** The network at one setting. */
export interface Point {
  /** What the settings of one line of the chart have in common. */
  series: string;
  name: string;
  /** Multiply-accumulates per image, on average. */
  macs: number;
  errors: number;
  testSize: number;
  /** Median time per image. */
  milliseconds: number;
}

export interface ExperimentOptions {
  preset: Preset;
  train: data.ImageDataset;
  test: data.ImageDataset;
  seed: number;
  progress: ProgressOption;
  signal?: AbortSignal;
  /** Folder for checkpoints; without it an interrupted run starts anew. */
  checkpoints?: string;
}

/** Three resolutions of two convolutions each; exits come after the first and the second. */
export function network(seed: number, filters: number): tfl.Sequential {
  const widths = [...WIDTHS];
  const block = (name: string, width: number, strides: number, first: object = {}) => [
    layers.slimmableConv2d({
      name: `${name}_conv`,
      widths,
      filters: width,
      kernelSize: 3,
      strides,
      padding: 'same',
      useBias: false,
      kernelInitializer: 'heNormal',
      ...first,
    }),
    layers.slimmableBatchNormalization({ name: `${name}_norm`, widths, momentum: 0.9 }),
    tfl.layers.reLU({ name }),
  ];
  return withSeed(seed, () =>
    tfl.sequential({
      name: 'dynamic',
      layers: [
        ...block('fine1', filters, 2, { inputShape: [28, 28, 1] }),
        ...block('fine2', filters, 1),
        ...block('middle1', 2 * filters, 2),
        ...block('middle2', 2 * filters, 1),
        ...block('coarse1', 4 * filters, 2),
        ...block('coarse2', 8 * filters, 1),
        tfl.layers.globalAveragePooling2d({ name: 'pool' }),
        layers.slimmableDense({ name: 'output', units: 10, activation: 'softmax', widths }),
      ],
    }),
  );
}

/** What the network is measured on. */
interface Measures {
  validation: data.ImageDataset;
  test: data.ImageDataset;
  /** Of the test images, those that are timed. */
  images: tf.Tensor;
  preset: Preset;
}

/** Trains the network and its exits at all widths, and measures every way of using them. */
export async function runExperiment(options: ExperimentOptions): Promise<Point[]> {
  const { preset, test, seed, progress, signal, checkpoints } = options;
  const [train, validation] = options.train.split(1 / 12, 'validation');
  const model = network(seed, preset.filters);
  const branchy = withSeed(`heads ${seed}`, () =>
    earlyExits(model, { after: ['fine2', 'middle2'], head: { hidden: 32 } }),
  );
  const training = (epochs: number, rate: number, name: string): FitOptions => ({
    epochs,
    batchSize: 64,
    optimizer: 'adam',
    learningRate: schedules.cosine(rate),
    loss: 'categoricalCrossentropy',
    seed,
    progress,
    callbacks: [callbacks.slimmableTraining()],
    ...(signal ? { signal } : {}),
    ...(checkpoints ? { checkpoint: `${checkpoints}/${name}-${seed}.checkpoint` } : {}),
  });
  await fit(model, train, training(preset.epochs, 2e-3, 'widths'));
  await fitExits(branchy, train, {
    ...training(preset.joint, 1e-3, 'exits'),
    lossWeights: [1, 0.5, 0.5],
  });

  const { images, labels } = test.tensors({ limit: Math.min(preset.timed, test.size) });
  labels.dispose();
  const points: Point[] = [];
  try {
    for (const width of WIDTHS) {
      setWidth(branchy, width);
      points.push(...(await measured(branchy, width, { validation, test, images, preset })));
    }
  } finally {
    images.dispose();
    branchy.dispose();
  }
  return points;
}

/** All ways of using the network at the width that it has. */
async function measured(
  branchy: tfl.LayersModel,
  width: number,
  { validation, test, images, preset }: Measures,
): Promise<Point[]> {
  const quiet = { batchSize: 500, progress: false };
  const { exits } = await evaluateExits(branchy, test, quiet);
  const point = (way: string, name: string, macs: number, accuracy: number, ms: number): Point => ({
    series: `width ${width}, ${way}`,
    name: `width ${width}, ${name}`,
    macs,
    errors: Math.round((1 - accuracy) * test.size),
    testSize: test.size,
    milliseconds: ms,
  });
  const points: Point[] = [];
  const { inputs, outputs } = branchy;
  for (const [i, { name, macs, accuracy }] of exits.entries()) {
    const part = tfl.model({ inputs, outputs: outputs.slice(0, i + 1) });
    const ms = await timed(images, preset.repeats, async (x) => {
      const answers = [part.predict(x, { batchSize: BATCH })].flat() as tf.Tensor[];
      await answers.at(-1)!.data();
      tf.dispose(answers);
    });
    const label = i === exits.length - 1 ? 'last exit, all images' : `${name}, all images`;
    points.push(point('one exit for all', label, macs, accuracy, ms));
  }
  const [first, last] = [exits[0]!.macs, exits.at(-1)!.macs];
  for (const part of BUDGETS) {
    const budget = first + part * (last - first);
    const { threshold } = await chooseThresholds(branchy, validation, { budget, ...quiet });
    const { early } = await evaluateExits(branchy, test, { threshold, ...quiet });
    const ms = await timed(images, preset.repeats, async (x) => {
      (await predictEarly(branchy, x, { threshold, batchSize: BATCH })).scores.dispose();
    });
    const name = `budget: ${100 * part} % of the way`;
    points.push(point('when it is sure', name, early!.macs, early!.accuracy, ms));
  }
  return points;
}

/** Milliseconds per image: the median over the repeats, after one to warm up. */
async function timed(
  images: tf.Tensor,
  repeats: number,
  run: (x: tf.Tensor) => Promise<void>,
): Promise<number> {
  const batches = Math.max(1, Math.floor(images.shape[0]! / BATCH));
  const size = Math.min(BATCH, images.shape[0]!);
  const taken: number[] = [];
  for (let repeat = 0; repeat <= repeats; repeat++) {
    const begun = performance.now();
    for (let i = 0; i < batches; i++) {
      const x = tf.slice(images, i * size, size);
      await run(x);
      x.dispose();
    }
    if (repeat > 0) taken.push((performance.now() - begun) / (batches * size));
  }
  return median(taken);
}
