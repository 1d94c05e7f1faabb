export { type AutoSlimOptions, autoSlim, type SlimmedModel } from './auto-slim.ts';
export { extractWidth } from './extract-width.ts';
export { setWidth, widthOf } from './set-width.ts';
export {
  type SlimmableBatchNormalizationArgs,
  slimmableBatchNormalization,
} from './slimmable-batch-normalization.ts';
export {
  type SlimmableConv2dArgs,
  type SlimmableDenseArgs,
  type SlimmableDepthwiseConv2dArgs,
  type SlimmableOptions,
  slimmableConv2d,
  slimmableDense,
  slimmableDepthwiseConv2d,
} from './slimmable-layers.ts';
export {
  type SlimmableTraining,
  type SlimmableTrainingOptions,
  slimmableTraining,
} from './slimmable-training.ts';
export type { Widths } from './slimmable-widths.ts';
export { type CalibrateWidthsOptions, calibrateWidths } from './universally-slimmable.ts';
