export { decode, type DecodeOptions, type ThimbleFile } from './file/decode.ts';
export { type FileNotes } from './file/description.ts';
export { type Choice, type ConvChoice, type DenseChoice } from './packed/choices.ts';
export { pack, type PackOptions } from './packed/pack.ts';
export { type Explanation, type LayerPlan, type PackedModel, type Port, type PredictOptions } from './packed/packed-model.ts';
