export type { AugmentOptions } from './augment.ts';
export { type IdxArray, parseIdx } from './idx.ts';
export { type ImageBatch, ImageDataset, type ImageDatasetContents } from './image-dataset.ts';
export { fashionMnist, kmnist, mnist, type TrainAndTest } from './mnist.ts';
export type { DatasetOptions } from './options.ts';
export type { ImageShape } from './warp.ts';
