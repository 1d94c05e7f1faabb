export {
  type Encoded,
  type EncodeOptions,
  encode,
  encodeGraph,
  encodeWithReport,
  type StoredWeight,
} from './encode.ts';
export type { EntropyCode } from './store-weight.ts';
export type { WeightForm, WeightForms } from './weight-forms.ts';
