export type { ConvRank, ConvScheme } from './chains.ts';
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
