export type { AugmentOptions } from './augment.ts';
export { cifar10 } from './cifar.ts';
export type { DistortOptions } from './distort.ts';
export { type IdxArray, parseIdx } from './idx.ts';
export { type ImageBatch, ImageDataset, type ImageDatasetContents } from './image-dataset.ts';
export { fashionMnist, kmnist, type MnistOptions, mnist, type TrainAndTest } from './mnist.ts';
export type { DatasetOptions } from './options.ts';
export { type SyntheticDigitsOptions, syntheticDigits } from './synthetic-digits.ts';
export type { ImageShape } from './warp.ts';
