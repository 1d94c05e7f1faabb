export {
  type ActivationMoment,
  type ActivationQuantizer,
  type ActivationSite,
  registerActivationQuantizer,
} from './activation.ts';
export {
  type AdaRoundLearning,
  type AdaRoundOptions,
  adaRound,
  type RoundedLayer,
} from './adaround.ts';
export { type BiasCorrection, correctBias } from './bias-correction.ts';
export {
  type BinaryActivationArgs,
  type BinaryActivationOptions,
  binaryActivation,
} from './binary-activation.ts';
export {
  type BinaryConnectOptions,
  type BinaryConnectState,
  type BinaryConnectTransform,
  binaryConnect,
} from './binary-connect.ts';
export {
  type BinaryConv2dArgs,
  type BinaryDenseArgs,
  binarized,
  binaryConv2d,
  binaryDense,
} from './binary-layers.ts';
export {
  type BinaryWeightsOptions,
  type BinaryWeightsState,
  type BinaryWeightsTransform,
  binaryWeights,
} from './binary-weights.ts';
export {
  type BitBudgetOptions,
  type BudgetBits,
  bitsForBudget,
  quantizeByBits,
} from './bits-for-budget.ts';
export { type BopOptions, bop, ThimbleBop } from './bop.ts';
export { type CalibrationOptions, calibrateActivations } from './calibrate.ts';
export type { LeftChannels } from './channel-cuts.ts';
export {
  type ClusterOptions,
  type CodebookOptions,
  type CodebookState,
  type CodebookTransform,
  clusterWeights,
  codebook,
} from './codebook.ts';
export { type DoReFa, type DoReFaOptions, doReFa } from './do-re-fa.ts';
export {
  type DynamicTreeCodes,
  dynamicTreeTable,
  type EightBitGradients,
  eightBitGradients,
  eightBitState,
  fromDynamicTree,
  toDynamicTree,
} from './dynamic-tree.ts';
export {
  type EqualizedPair,
  type EqualizeOptions,
  type EqualizeReport,
  equalize,
  equalizeReport,
} from './equalize.ts';
export {
  type FakeQuantOptions,
  type FakeQuantState,
  type FakeQuantTransform,
  fakeQuant,
  fakeQuantize,
} from './fake-quant.ts';
export {
  type ActivationRangeState,
  type FakeQuantActivationsOptions,
  fakeQuantActivations,
} from './fake-quant-activations.ts';
export {
  type FixedPointFormat,
  type FixedPointState,
  type FixedPointTraining,
  type FixedPointTrainingOptions,
  type FixedPointTransform,
  fixedPoint,
  fixedPointTraining,
  toFixedPoint,
} from './fixed-point.ts';
export {
  type FixedQuantOptions,
  type FixedQuantState,
  type FixedQuantTransform,
  fixedQuant,
  type WeightRanges,
} from './fixed-quant.ts';
export { FlipRatio, flipRatio } from './flip-ratio.ts';
export { float16 } from './float16.ts';
export { fuseBatchNorm } from './fuse-batch-norm.ts';
export { type GradualBits, type GradualBitsOptions, gradualBits } from './gradual-bits.ts';
export type { GridOptions } from './grid.ts';
export { type HashedOptions, type HashedState, type HashedTransform, hashed } from './hashed.ts';
export type {
  HistogramObserverOptions,
  MseObserverOptions,
  PercentileObserverOptions,
  SearchObserverOptions,
} from './histogram-observers.ts';
export {
  type IncrementalQuantization,
  type IncrementalQuantizationOptions,
  incrementalQuantization,
} from './incremental-quantization.ts';
export { type Kmeans, type KmeansOptions, kmeans } from './kmeans.ts';
export type { KmeansStart } from './kmeans-starts.ts';
export type { ReferenceOptions } from './layer-pairs.ts';
export {
  type Lsq,
  type LsqActivationState,
  type LsqOptions,
  type LsqState,
  lsq,
} from './lsq.ts';
export { type LsqPlusOptions, type LsqPlusState, lsqPlus } from './lsq-plus.ts';
export type { MovingAverageObserverOptions } from './moving-average-observer.ts';
export type { Observer, ObserverOptions, ValueRange } from './observer.ts';
export { observers } from './observers.ts';
export { type PactOptions, pact } from './pact.ts';
export {
  type PowersOfTwoOptions,
  type PowersOfTwoState,
  type PowersOfTwoTransform,
  powersOfTwo,
} from './powers-of-two.ts';
export {
  type QuantizationAwareTrainingOptions,
  quantizationAwareTraining,
} from './quantization-aware-training.ts';
export { type QuantizeReport, quantize, quantizeReport } from './quantize.ts';
export {
  type LayerQuantization,
  type QuantizeAwareOptions,
  quantizeAware,
} from './quantize-aware.ts';
export type {
  PostTrainingActivations,
  QuantizeGranularity,
  QuantizeOptions,
} from './quantize-options.ts';
export {
  type ActivationPlace,
  activationPlaces,
  type QuantizedActivations,
  quantizeActivations,
} from './quantized-call.ts';
export {
  type BitSensitivity,
  type BitSensitivityRow,
  type SensitivityBitsOptions,
  sensitivityBits,
} from './sensitivity-bits.ts';
export {
  type TernaryWeightsOptions,
  type TernaryWeightsState,
  type TernaryWeightsTransform,
  ternaryWeights,
} from './ternary-weights.ts';
export {
  type ThresholdWeightsOptions,
  type ThresholdWeightsState,
  type ThresholdWeightsTransform,
  thresholdWeights,
} from './threshold-weights.ts';
export {
  type TrainedTernaryOptions,
  type TrainedTernaryState,
  type TrainedTernaryTransform,
  trainedTernary,
} from './trained-ternary.ts';
export {
  type XnorConv2dArgs,
  type XnorDenseArgs,
  type XnorOptions,
  xnorConv2d,
  xnorDense,
} from './xnor-layers.ts';
