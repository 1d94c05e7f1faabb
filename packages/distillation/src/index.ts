export { attentionLoss, attentionTransfer } from './attention-transfer.ts';
export { type CodistillationOptions, codistillation } from './codistillation.ts';
export { confidenceWeights } from './confidence-weights.ts';
export { type Distilled, type DistillOptions, distill } from './distill.ts';
export {
  type DistillationCallback,
  type DistillationOptions,
  distillationCallback,
  type ScheduledSoftTargets,
} from './distillation-callback.ts';
export type { FeatureCallback, FeatureOptions } from './features.ts';
export { type FitNetsOptions, type FitNetsResult, fitNets } from './fit-nets.ts';
export { type HintOptions, hintLoss, hints } from './hints.ts';
export {
  type MutualLearningOptions,
  mutualDivergence,
  mutualLearning,
} from './mutual-learning.ts';
export {
  logitLoss,
  type NoisyTeacher,
  type NoisyTeacherOptions,
  noisyTeacher,
  perturbLogits,
} from './noisy-teacher.ts';
export type { PeerOptions, Peers } from './peers.ts';
export {
  type RelationalOptions,
  type RelationWeights,
  relationalDistillation,
  relationalLoss,
} from './relational.ts';
export {
  type BornAgainOptions,
  bornAgain,
  type TeacherAssistantsOptions,
  teacherAssistants,
} from './relay.ts';
export type { Scheduled } from './scheduled.ts';
export { similarityLoss, similarityPreserving } from './similarity-preserving.ts';
export {
  type DistillationLoss,
  distillationLoss,
  type SoftTargetOptions,
  softTargetDivergence,
} from './soft-targets.ts';
export {
  type StagedUnfreezing,
  type StagedUnfreezingOptions,
  stagedUnfreezing,
} from './staged-unfreezing.ts';
export { featureExtractor, type TransferOptions, transferModel } from './transfer-model.ts';
