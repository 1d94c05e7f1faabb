export type { ConvRank, ConvScheme } from './chains.ts';
export {
  type DecomposedLayer,
  type DecomposeReport,
  decompose,
  decomposeReport,
} from './decompose.ts';
export type { DecomposeBudget, DecomposeMethod, DecomposeOptions } from './decompose-options.ts';
export {
  type DepthwiseSeparableConv2dArgs,
  depthwiseSeparableConv2d,
} from './depthwise-separable.ts';
export { type FireArgs, fire } from './fire.ts';
export { type GroupConv2dArgs, groupConv2d } from './group-conv.ts';
export { type InvertedResidualArgs, invertedResidual } from './inverted-residual.ts';
export {
  type LowRankConv2dArgs,
  type LowRankDenseArgs,
  lowRankConv2d,
  lowRankDense,
} from './low-rank.ts';
export { type ModelOptions, models, type ResNetOptions, type WidthOptions } from './models.ts';
export { type PerforateByImpactOptions, perforateByImpact } from './perforate-by-impact.ts';
export { type PerforatedConv2dArgs, perforatedConv2d, setPerforation } from './perforated-conv.ts';
export type { PerforationMask, PoolingWindow } from './perforation.ts';
export { vbmfRank } from './vbmf.ts';
export { type VersatileConv2dArgs, versatileConv2d } from './versatile-conv.ts';
