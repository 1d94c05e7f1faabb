export { type Distilled, type DistillOptions, distill } from './distill.ts';
export {
  type DistillationCallback,
  type DistillationOptions,
  distillationCallback,
} from './distillation-callback.ts';
export {
  type DistillationLoss,
  distillationLoss,
  type SoftTargetOptions,
  softTargetDivergence,
} from './soft-targets.ts';
