export { ACTIVATIONS, type Kernels, type Pointer } from './kernels.ts';
export { hasRelaxedSimd, type LoadOptions, loadKernels } from './load.ts';
