export { type Context, currentContext } from './context.ts';
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
