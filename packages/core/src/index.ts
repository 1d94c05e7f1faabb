import './chained-ops.ts';
import './separable-config.ts';

export type { ActivationCode } from '@thimble/graph';
export {
  type AllocateOptions,
  type Allocation,
  allocate,
  type Choice,
  smallestReaching,
} from './allocate.ts';
export { axesOf } from './axes.ts';
export { type FitData, toSource, type Values } from './batches.ts';
export {
  type CallCodes,
  type CallSite,
  type CallTransform,
  type CallTransformFactory,
  registerCallTransform,
} from './call-transform.ts';
export {
  type FitCallback,
  type Logs,
  ThimbleCallback,
  type TrainingEvents,
} from './callbacks.ts';
export type { ParametrizedWeight } from './chain.ts';
export type { ChannelRole } from './channel-flow.ts';
export {
  type ChannelGroup,
  type ChannelMember,
  channelGroups,
  type WatchedOutput,
} from './channel-groups.ts';
export { type RemovedChannels, withChannelsZeroed, withoutChannels } from './channel-removal.ts';
export { exampleShapes } from './check-data.ts';
export { checkExamples, type ExamplesPurpose } from './check-examples.ts';
export {
  type Checkpoint,
  type CheckpointOptions,
  type CheckpointStore,
  loadCheckpointWeights,
  readCheckpoint,
} from './checkpoint.ts';
export { decodeState, encodeState } from './checkpoint-file.ts';
export { type ApplyPart, CompositeLayer } from './composite.ts';
export {
  type Context,
  currentContext,
  currentMoment,
  type Moment,
  releaseMoment,
  setMoment,
} from './context.ts';
export { type CopyModelOptions, copyModel, copyValues } from './copy-model.ts';
export { detached } from './detached.ts';
export type { EarlyStoppingOptions } from './early-stopping.ts';
export { endsInSoftmax } from './ends-in-softmax.ts';
export {
  type EvaluateOptions,
  eachBatch,
  evaluate,
  type PassOptions,
  type Prediction,
  predictAll,
} from './evaluate.ts';
export { type FinalizeOptions, finalize, finalizeReport, type KeptLayer } from './finalize.ts';
export { fit, type History } from './fit.ts';
export type { FitOptions } from './fit-options.ts';
export {
  type FoldReport,
  foldBatchNorm,
  foldReport,
  type KeptBatchNorm,
} from './fold-batch-norm.ts';
export { inputGradients } from './input-gradients.ts';
export { expectedKernels, kernelNames, layerWeight } from './kernel-names.ts';
export { type LassoFit, type LassoFitOptions, lasso } from './lasso.ts';
export { withLayerOutputs } from './layer-outputs.ts';
export { LeastSquares, type LeastSquaresOptions, leastSquares } from './least-squares.ts';
export { isLinear, linearPart } from './linear-part.ts';
export { type LossFunction, type LossName, type LossSpec, losses, lossSpec } from './losses.ts';
export { lower, type Traced, trace } from './lower.ts';
export { opOfClass, storedVariable } from './lower-layer.ts';
export {
  bidirectionalOf,
  checkKernelNames,
  kernelLayers,
  type LayerTargets,
  layersWithKernels,
  matchLayers,
} from './match-layers.ts';
export type { MetricFunction } from './metrics.ts';
export { namedOp } from './named-op.ts';
export type { ObjectiveOptions } from './objective.ts';
export type { OptimizerName } from './optimizers.ts';
export { type CallLink, type Chains, callLinks } from './parametrization.ts';
export { decorateCall, parametrize, parametrizedWeights, unparametrize } from './parametrize.ts';
export { layerFromConfig } from './parametrized-layer.ts';
export { type Probe, type ProbeOptions, probe } from './probe.ts';
export { readValues } from './read-values.ts';
export { type RecalibrateOptions, recalibrateBatchNorm } from './recalibrate.ts';
export { Registry } from './registry.ts';
export { type NewLayer, replaceLayers } from './replace-layers.ts';
export { rowsOf } from './rows-of.ts';
export { type Schedule, schedules, type TrainingProgress } from './schedules.ts';
export { type Summary, summarize } from './summarize.ts';
export { lossAndGradients, supervisedStep } from './supervised-step.ts';
export type {
  Batch,
  BatchSource,
  RawBatch,
  StateValue,
  Step,
  StepContext,
  StepResult,
  TrainingHooks,
} from './training.ts';
export type { Axes, Site, WeightTransform } from './transform.ts';
export { registerTransform, type TransformFactory } from './transforms.ts';
export { stackedCells, walkLayers } from './walk.ts';
export { readWeights, type WeightValues, writeWeights } from './weight-values.ts';
