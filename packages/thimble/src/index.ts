// Deep networks that fit in a thimble: one import for all of it.
import {
  depthwiseSeparableConv2d,
  fire,
  groupConv2d,
  invertedResidual,
  lowRankConv2d,
  lowRankDense,
  perforatedConv2d,
  versatileConv2d,
} from '@thimble/architecture';
import { losses as coreLosses } from '@thimble/core';
import * as data from '@thimble/data';
import {
  attentionLoss,
  attentionTransfer,
  distillationCallback,
  distillationLoss,
  hintLoss,
  hints,
  logitLoss,
  noisyTeacher,
  relationalDistillation,
  relationalLoss,
  similarityLoss,
  similarityPreserving,
  stagedUnfreezing,
} from '@thimble/distillation';
import {
  blockDrop,
  earlyExitHead,
  gateCost,
  gatedBlock,
  gatedConv2d,
  policyGate,
  randomGates,
  reinforcedGates,
  slimmableBatchNormalization,
  slimmableConv2d,
  slimmableDense,
  slimmableDepthwiseConv2d,
  slimmableTraining,
} from '@thimble/dynamic';
import {
  gradualPruning,
  iterativePruning,
  maskedConv2d,
  maskedDense,
  maskedDepthwiseConv2d,
} from '@thimble/pruning';
import {
  binaryActivation,
  binaryConv2d,
  binaryDense,
  flipRatio,
  quantizationAwareTraining,
  xnorConv2d,
  xnorDense,
} from '@thimble/quantization';
import * as runtime from '@thimble/runtime';

export * from '@thimble/architecture';
export * from '@thimble/base';
export * from '@thimble/core';
export * from '@thimble/distillation';
export * from '@thimble/dynamic';
export * from '@thimble/graph';
export * from '@thimble/io';
export * from '@thimble/pruning';
export * from '@thimble/quantization';
export { type DistilledPruningOptions, distilledPruning } from './distilled-pruning.ts';
export {
  type Compressed,
  type CompressOptions,
  type CompressReport,
  compress,
} from './recipes/compress.ts';
export type { CompressData, CompressParts } from './recipes/data.ts';
export { fingerprintOf } from './recipes/fingerprint.ts';
export type { Measured, StepReport } from './recipes/measure.ts';
export { recipes } from './recipes/ready.ts';
export { parseRecipe, type Recipe, recipeSchema, type StepData } from './recipes/recipe.ts';
export type { Job, Step } from './recipes/step.ts';
export { type StepOptions, steps } from './recipes/steps.ts';
export { type FgsmOptions, fgsm, type PgdOptions, pgd } from './report/attacks.ts';
export { ENERGY_SOURCE, type Energy, energyOf, PICOJOULES } from './report/energy.ts';
export {
  type Calibration,
  type ClassScores,
  calibration,
  classScores,
  type RegressionScores,
  regressionScores,
} from './report/quality.ts';
export { type ReportOptions, report } from './report/report.ts';
export type { LayerReport, NetworkReport, Report } from './report/report-data.ts';
export type { AtStrength, Robustness, Strengths } from './report/robustness.ts';
export { type SaliencyOptions, saliencyMaps } from './report/saliency.ts';
export type { Saliency } from './report/saliency-report.ts';
export type { Speed } from './report/speed.ts';
export type { ReportSubject } from './report/subject.ts';
export { reportTable } from './report/table.ts';
export { median, type TimesOptions, timesInTurn } from './report/times.ts';
export type { Goal, GoalKey, Outcome } from './search/goal.ts';
export {
  type RecipeTrialOptions,
  recipeTrial,
  type SearchOptions,
  type SearchResult,
  search,
} from './search/search.ts';
export {
  type SearchTrialsOptions,
  type SearchTrialsResult,
  searchTrials,
  type Trial,
  type TrialJob,
  type TrialRecord,
} from './search/search-trials.ts';
export { filledRecipe, type SearchedRecipe } from './search/searched-recipe.ts';
export type { Dimension, Settings, SettingValue, Space } from './search/space.ts';
export { data, runtime };

/** Training callbacks, for `fit` and for tfjs's own `model.fit`. */
export const callbacks: {
  attentionTransfer: typeof attentionTransfer;
  blockDrop: typeof blockDrop;
  distillation: typeof distillationCallback;
  flipRatio: typeof flipRatio;
  gateCost: typeof gateCost;
  gradualPruning: typeof gradualPruning;
  hints: typeof hints;
  iterativePruning: typeof iterativePruning;
  noisyTeacher: typeof noisyTeacher;
  quantizationAwareTraining: typeof quantizationAwareTraining;
  randomGates: typeof randomGates;
  reinforcedGates: typeof reinforcedGates;
  relationalDistillation: typeof relationalDistillation;
  similarityPreserving: typeof similarityPreserving;
  slimmableTraining: typeof slimmableTraining;
  stagedUnfreezing: typeof stagedUnfreezing;
} = {
  attentionTransfer,
  blockDrop,
  distillation: distillationCallback,
  flipRatio,
  gateCost,
  gradualPruning,
  hints,
  iterativePruning,
  noisyTeacher,
  quantizationAwareTraining,
  randomGates,
  reinforcedGates,
  relationalDistillation,
  similarityPreserving,
  slimmableTraining,
  stagedUnfreezing,
};

/** Layers, made as those of `tf.layers` are. */
export const layers: {
  binaryActivation: typeof binaryActivation;
  binaryConv2d: typeof binaryConv2d;
  binaryDense: typeof binaryDense;
  earlyExitHead: typeof earlyExitHead;
  gatedBlock: typeof gatedBlock;
  gatedConv2d: typeof gatedConv2d;
  depthwiseSeparableConv2d: typeof depthwiseSeparableConv2d;
  fire: typeof fire;
  groupConv2d: typeof groupConv2d;
  invertedResidual: typeof invertedResidual;
  lowRankConv2d: typeof lowRankConv2d;
  lowRankDense: typeof lowRankDense;
  maskedDense: typeof maskedDense;
  maskedConv2d: typeof maskedConv2d;
  maskedDepthwiseConv2d: typeof maskedDepthwiseConv2d;
  slimmableBatchNormalization: typeof slimmableBatchNormalization;
  slimmableConv2d: typeof slimmableConv2d;
  slimmableDense: typeof slimmableDense;
  slimmableDepthwiseConv2d: typeof slimmableDepthwiseConv2d;
  policyGate: typeof policyGate;
  perforatedConv2d: typeof perforatedConv2d;
  versatileConv2d: typeof versatileConv2d;
  xnorConv2d: typeof xnorConv2d;
  xnorDense: typeof xnorDense;
} = {
  binaryActivation,
  binaryConv2d,
  binaryDense,
  earlyExitHead,
  gatedBlock,
  gatedConv2d,
  depthwiseSeparableConv2d,
  fire,
  groupConv2d,
  invertedResidual,
  lowRankConv2d,
  lowRankDense,
  maskedDense,
  maskedConv2d,
  maskedDepthwiseConv2d,
  slimmableBatchNormalization,
  slimmableConv2d,
  slimmableDense,
  slimmableDepthwiseConv2d,
  policyGate,
  perforatedConv2d,
  versatileConv2d,
  xnorConv2d,
  xnorDense,
};

/** Losses by name, those of the techniques among them. */
export const losses: typeof coreLosses & {
  attention: typeof attentionLoss;
  distillation: typeof distillationLoss;
  hint: typeof hintLoss;
  logits: typeof logitLoss;
  relational: typeof relationalLoss;
  similarity: typeof similarityLoss;
} = {
  ...coreLosses,
  attention: attentionLoss,
  distillation: distillationLoss,
  hint: hintLoss,
  logits: logitLoss,
  relational: relationalLoss,
  similarity: similarityLoss,
};
