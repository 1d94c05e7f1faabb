export {
  ActivationSparsity,
  type ActivationSparsityOptions,
  activationSparsity,
} from './activation-sparsity.ts';
export type { Compensation } from './compensation.ts';
export {
  type ApozOptions,
  type ConnectedOptions,
  type CostAwareOptions,
  criteria,
  type DeviationsOptions,
  type GradientTimesWeightOptions,
  type LassoOptions,
  type MagnitudeNorm,
  type MagnitudeOptions,
  type NispOptions,
  type PercentileOptions,
  type TaylorOptions,
  type ThresholdOptions,
} from './criteria/index.ts';
export type {
  ActivationEvidence,
  ChannelCriterion,
  ChannelEvidence,
  ChannelNeed,
  ContributionEvidence,
  Criterion,
  KernelEvidence,
  Need,
  Reduction,
  WeightCriterion,
  WeightEvidence,
} from './criterion.ts';
export { type DeadNeurons, deadNeurons, removeDeadNeurons } from './dead-neurons.ts';
export type { EvidenceOptions } from './evidence.ts';
export { type FromScratchOptions, type FromScratchResult, fromScratch } from './from-scratch.ts';
export {
  type GradualPruning,
  type GradualPruningOptions,
  gradualPruning,
} from './gradual-pruning.ts';
export type { Granularity } from './granularity.ts';
export {
  type GroupKind,
  type GroupLassoOptions,
  type GroupLassoTransform,
  groupLasso,
  type WeightGroups,
} from './group-lasso.ts';
export {
  type IterativePruning,
  type IterativePruningOptions,
  iterativePruning,
  type PruningBound,
  type PruningRound,
} from './iterative-pruning.ts';
export { type L0Options, type L0State, type L0Transform, l0Gates } from './l0.ts';
export { type L1Options, type L1Transform, l1Penalty } from './l1.ts';
export {
  type BudgetOptions,
  type BudgetRatios,
  ratiosForBudget,
  ratiosForScore,
} from './layer-ratios.ts';
export {
  type MaskedConv2dArgs,
  type MaskedDenseArgs,
  type MaskedDepthwiseConv2dArgs,
  maskedConv2d,
  maskedDense,
  maskedDepthwiseConv2d,
  prunable,
} from './layers.ts';
export type { LotteryControl } from './lottery-controls.ts';
export {
  type LotteryBranch,
  type LotteryReport,
  type LotteryTicketOptions,
  lotteryTicket,
} from './lottery-ticket.ts';
export { magnitudeMask } from './magnitude.ts';
export { type MaskOptions, type MaskState, type MaskTransform, mask, setMask } from './mask.ts';
export { type MaskedWeight, maskedWeights } from './masked-weights.ts';
export { type PruneOptions, type PruneReport, type PruneRule, prune } from './prune.ts';
export type { PrunedCost } from './pruned-cost.ts';
export {
  type RemoveChannelsOptions,
  type RemovedGroup,
  removalReport,
  removeChannels,
} from './remove-channels.ts';
export {
  type AdaptiveSparsity,
  type PolynomialSparsity,
  type SparsityRamp,
  type SparsitySchedule,
  sparsitySchedules,
} from './schedules.ts';
export {
  type Sensitivity,
  type SensitivityOptions,
  type SensitivityRow,
  sensitivity,
} from './sensitivity.ts';
export type { SliceKind, Slices } from './slices.ts';
export { type SlimmingOptions, slimming } from './slimming.ts';
export {
  type SupermaskOptions,
  type SupermaskState,
  type SupermaskTransform,
  supermask,
} from './supermask.ts';
