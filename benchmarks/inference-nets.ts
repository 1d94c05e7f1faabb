// The trained networks that `npm run bench -- inference` runs: distorted MNIST, dense and pruned. `npm run
// reproduce -- inference-models` trains them; their files are kept in benchmarks/models.
import { fileURLToPath } from 'node:url';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { data, type Granularity, layers, models, withSeed } from 'thimble';

/** Where the files are kept. */
export const MODELS: string = fileURLToPath(new URL('../models/', import.meta.url));

/** A network of the benchmark and how it is trained. */
export interface Net {
  name: string;
  title: string;
  /** Pixels of a side of its images: MNIST's 28 or enlarged to 96. */
  side: number;
  make(): tfl.LayersModel;
  /** Training images and epochs of the dense network. */
  images: number;
  epochs: number;
  /** Epochs of each pruning, in the first part of which it goes on, `pruneShare`; the rest is for the network to recover. */
  pruneEpochs: number;
  pruneShare: number;
  batchSize: number;
  /** Learning rates at the start of a cosine. */
  rate: number;
  pruneRate: number;
  /** The dense network is made anew as an XNOR network: epochs of its training. */
  xnorEpochs?: number;
}

const SEED = 0;
const CLASSES = 10;

/** LeNet-5 with batch normalisation, its middle layers on signs, the first and the last one real. */
function xnorLenet5(): tfl.LayersModel {
  const { activation, batchNormalization, conv2d, dense, flatten, maxPooling2d } = tfl.layers;
  const relu = { activation: 'relu' } as const;
  return withSeed(SEED, () =>
    tfl.sequential({
      name: 'lenet5Xnor',
      layers: [
        conv2d({ name: 'conv1', filters: 20, kernelSize: 5, inputShape: [28, 28, 1] }),
        batchNormalization({ name: 'norm1', momentum: 0.9, epsilon: 1e-4 }),
        activation({ name: 'relu1', ...relu }),
        maxPooling2d({ name: 'pool1', poolSize: 2 }),
        layers.xnorConv2d({ name: 'conv2', filters: 50, kernelSize: 5, ...relu }),
        maxPooling2d({ name: 'pool2', poolSize: 2 }),
        flatten({ name: 'flat' }),
        layers.xnorDense({ name: 'fc1', units: 500, ...relu }),
        dense({ name: 'output', units: CLASSES, activation: 'softmax' }),
      ],
    }),
  );
}

/** The XNOR network beside the dense one of this name. */
export const XNOR: Record<string, () => tfl.LayersModel> = { lenet5: xnorLenet5 };

/** All of them, the quickest to train first. */
export const NETS: readonly Net[] = [
  {
    name: 'lenet5',
    title: 'LeNet-5',
    side: 28,
    make: () => models.lenet5({ seed: SEED }),
    images: 55_000,
    epochs: 4,
    pruneEpochs: 3,
    pruneShare: 0.6,
    batchSize: 64,
    rate: 1e-3,
    pruneRate: 5e-4,
    xnorEpochs: 4,
  },
  {
    name: 'mobilenet28',
    title: 'MobileNet-v1 small, width 2, 28 px',
    side: 28,
    make: () => models.mobileNet({ widthMultiplier: 2, seed: SEED }),
    images: 30_000,
    epochs: 8,
    pruneEpochs: 6,
    pruneShare: 0.3,
    batchSize: 64,
    rate: 2e-3,
    pruneRate: 3e-3,
  },
  {
    name: 'resnet20',
    title: 'ResNet-20',
    side: 28,
    make: () => models.resNet20({ inputShape: [28, 28, 1], shortcut: 'projection', seed: SEED }),
    images: 8_000,
    epochs: 5,
    pruneEpochs: 3,
    pruneShare: 0.3,
    batchSize: 64,
    rate: 2e-3,
    pruneRate: 3e-3,
  },
  {
    name: 'mobilenet96',
    title: 'MobileNet-v1 small, width 2, 96 px',
    side: 96,
    make: () => models.mobileNet({ inputShape: [96, 96, 1], widthMultiplier: 2, seed: SEED }),
    images: 12_000,
    epochs: 6,
    pruneEpochs: 4,
    pruneShare: 0.3,
    batchSize: 64,
    rate: 2e-3,
    pruneRate: 3e-3,
  },
];

/** How each network is pruned, from the dense one or from one that is pruned already. */
export interface Pruning {
  name: string;
  from: string;
  sparsity: number;
  granularity: Granularity;
}

/**
 * Blocks of two outputs (eight in dense layers) are what the kernels for floats skip; in convolutions of whole
 * numbers two inputs at once are one step, so a block there is two inputs by two outputs.
 */
export const PRUNINGS: readonly Pruning[] = [
  { name: 'sparse80', from: 'dense', sparsity: 0.8, granularity: 'block' },
  { name: 'sparse90', from: 'sparse80', sparsity: 0.9, granularity: 'block' },
  { name: 'squares90', from: 'dense', sparsity: 0.9, granularity: { block: [2, 2] } },
];

/** The layers that are pruned: not the first, not depthwise ones, not the output. */
export function isPruned(layer: tfl.layers.Layer): boolean {
  const kernel = layer.weights.find((weight) => /kernel/i.test(weight.originalName));
  if (!kernel || layer.name === 'output' || /depthwise/i.test(layer.getClassName())) return false;
  return kernel.shape.at(-2)! >= 16;
}

/** The same images with `side` pixels a side, by bilinear interpolation. */
export function enlarged(dataset: data.ImageDataset, side: number): data.ImageDataset {
  const pixels = new Uint8Array(dataset.size * side * side);
  const step = 500;
  for (let start = 0; start < dataset.size; start += step) {
    const count = Math.min(step, dataset.size - start);
    const { images, labels } = dataset.batch(
      Uint32Array.from({ length: count }, (_, i) => start + i),
    );
    const large = tf.tidy(() =>
      tf.round(tf.mul(tf.image.resizeBilinear(images, [side, side], false, true), 255)),
    );
    pixels.set(Uint8Array.from(large.dataSync()), start * side * side);
    tf.dispose([images, labels, large]);
  }
  const { labels, classNames, name, source, synthetic } = dataset;
  return new data.ImageDataset({
    pixels,
    labels,
    imageShape: [side, side, 1],
    classNames,
    name: `${name}, ${side} pixels a side`,
    source,
    synthetic,
  });
}

/** All images of a data set as bytes, one after the other. */
export function pixelsOf(dataset: data.ImageDataset): Uint8Array {
  return Buffer.concat(Array.from({ length: dataset.size }, (_, i) => dataset.image(i)));
}
