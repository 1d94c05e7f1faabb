export {
  ACTIVATIONS,
  type ConvSizes,
  type Kernels,
  type Pointer,
  type PoolSizes,
} from './kernels.ts';
export { type LoadOptions, loadKernels } from './load.ts';
export { hasRelaxedSimd } from './module.ts';
