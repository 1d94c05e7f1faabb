export { magnitudeMask } from './magnitude.ts';
export { type MaskOptions, type MaskState, type MaskTransform, mask, setMask } from './mask.ts';
