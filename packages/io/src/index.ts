export {
  type Encoded,
  type EncodeOptions,
  encode,
  encodeGraph,
  encodeWithReport,
  type StoredWeight,
} from './encode.ts';
export { registerFileHandlers, saveTfjs } from './file-handlers.ts';
export { loadKeras } from './load-keras.ts';
export { type FromOnnxOptions, fromOnnx, graphOfOnnx } from './onnx/from-onnx.ts';
export { graphToOnnx, type ToOnnxOptions, toOnnx } from './onnx/to-onnx.ts';
export { modelOfGraph } from './raise.ts';
export { type ResetAfterGruArgs, resetAfterGru } from './reset-after-gru.ts';
export { load, save } from './save-load.ts';
export type { EntropyCode } from './store-weight.ts';
export { type TfjsOptions, type TfjsQuantization, tfjsArtifacts } from './tfjs-artifacts.ts';
export type { WeightForm, WeightForms } from './weight-forms.ts';
export { type Noted, withNotes } from './with-notes.ts';
