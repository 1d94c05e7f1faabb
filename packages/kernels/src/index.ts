export {
  ACTIVATIONS,
  type ConvSizes,
  type Kernels,
  type Pointer,
  type PoolSizes,
} from './kernels.ts';
export { hasRelaxedSimd, type LoadOptions, loadKernels } from './load.ts';
