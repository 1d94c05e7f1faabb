export type { Kernels } from './kernels.ts';
export { type LoadOptions, loadKernels } from './load.ts';
export { hasRelaxedSimd } from './module.ts';
export { ACTIVATIONS, type ConvSizes, FUNCTIONS, type Pointer, type PoolSizes } from './sizes.ts';
