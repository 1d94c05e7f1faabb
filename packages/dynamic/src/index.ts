export type { ExitPolicy, ExitRuleOptions } from '@thimble/base';
export { type AutoSlimOptions, autoSlim, type SlimmedModel } from './auto-slim.ts';
export { type BLeNetOptions, bLeNet } from './b-lenet.ts';
export {
  type ChooseThresholdsOptions,
  chooseThresholds,
  type EarlyExitResult,
  type EvaluateExitsOptions,
  type ExitResult,
  evaluateExits,
} from './choose-thresholds.ts';
export { type EarlyExitHeadArgs, type ExitHeadOptions, earlyExitHead } from './early-exit-head.ts';
export { type EarlyExitsOptions, type ExitCost, earlyExits, exitCosts } from './early-exits.ts';
export { extractWidth } from './extract-width.ts';
export { type FitExitsOptions, fitExits, forEveryExit } from './fit-exits.ts';
export { type GateCostOptions, type GateUsage, gateCost, gateUsage } from './gate-usage.ts';
export {
  type GatedBlockArgs,
  type GatedConv2dArgs,
  type GateOptions,
  gatedBlock,
  gatedConv2d,
} from './gated-layer.ts';
export { type GateDecision, watchGates } from './gates.ts';
export { type MsdNetOptions, msdNet } from './msd-net.ts';
export {
  type BlockDropOptions,
  blockDrop,
  type PolicyGateArgs,
  policyGate,
  type ReinforcedGatesOptions,
  reinforcedGates,
} from './policy-gradient.ts';
export { type EarlyPrediction, type PredictEarlyOptions, predictEarly } from './predict-early.ts';
export { type RandomGatesOptions, randomGates } from './random-gates.ts';
export { setWidth, widthOf, widthsOf } from './set-width.ts';
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
export { toSlimmable } from './to-slimmable.ts';
export { type CalibrateWidthsOptions, calibrateWidths } from './universally-slimmable.ts';
