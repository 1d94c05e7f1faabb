export type { Choice, ConvChoice, DenseChoice } from './packed/choices.ts';
export { type PackOptions, pack } from './packed/pack.ts';
export type {
  Explanation,
  LayerPlan,
  PackedModel,
  Port,
  PredictOptions,
} from './packed/packed-model.ts';
