export { type DecodeOptions, decode, type ThimbleFile } from './file/decode.ts';
export type { FileNotes } from './file/description.ts';
export { type LoadOptions, load } from './load.ts';
export type { Choice, ConvChoice, DenseChoice } from './packed/choices.ts';
export { type PackOptions, pack } from './packed/pack.ts';
export type {
  Explanation,
  LayerPlan,
  PackedModel,
  Port,
  PredictOptions,
} from './packed/packed-model.ts';
