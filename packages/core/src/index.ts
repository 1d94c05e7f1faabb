import './chained-ops.ts';
import './parametrized-layer.ts';

export type { ParametrizedWeight } from './chain.ts';
export {
  type Context,
  currentContext,
  currentMoment,
  type Moment,
  releaseMoment,
  setMoment,
} from './context.ts';
export { type Chains, parametrize, parametrizedWeights } from './parametrize.ts';
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
export { walkLayers } from './walk.ts';
