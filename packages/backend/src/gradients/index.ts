// Gradients of tfjs-core that are wrong or missing, made right where the backend is `thimble`.
import type { KernelConfig } from '@tensorflow/tfjs-core';
import { activationKernels } from './activation-kernels.ts';
import { batchNormGradient, fusedBatchNorm } from './batch-norm.ts';
import { broadcastGradients } from './broadcast.ts';
import { comparisonGradients } from './comparison.ts';
import { convolutionGradients } from './convolution.ts';
import { conv3dGradient, conv3dTransposeGradient } from './convolution3d.ts';
import { cropAndResizeGradient, cropAndResizeKernel } from './crop-and-resize.ts';
import { cumprodGradient, cumsumGradient, cumulativeKernels, prodGradient } from './cumulative.ts';
import { einsumGradient } from './einsum.ts';
import { elementwiseGradients } from './elementwise.ts';
import { fusedGradients } from './fused.ts';
import { maskGradient } from './mask.ts';
import { matMulGradient } from './mat-mul.ts';
import { type Gradient, overrideGradient } from './override.ts';
import {
  gatherGradient,
  gatherNdGradient,
  mirrorPadGradient,
  scatterNdGradient,
  splitGradient,
  tileGradient,
  unstackGradient,
} from './rearrange.ts';
import { sumGradients } from './reduce.ts';
import { resizeKernels } from './resize.ts';
import { stridedSliceGradient, stridedSliceKernel } from './strided-slice.ts';

const gradients: readonly Gradient[] = [
  ...broadcastGradients,
  ...comparisonGradients,
  ...convolutionGradients,
  ...elementwiseGradients,
  ...fusedGradients,
  ...sumGradients,
  batchNormGradient,
  conv3dGradient,
  conv3dTransposeGradient,
  cropAndResizeGradient,
  cumprodGradient,
  cumsumGradient,
  einsumGradient,
  gatherGradient,
  gatherNdGradient,
  maskGradient,
  matMulGradient,
  mirrorPadGradient,
  prodGradient,
  scatterNdGradient,
  splitGradient,
  stridedSliceGradient,
  tileGradient,
  unstackGradient,
];

/** The kernels that the gradients call, and the forward kernels that had to change with them. */
export const gradientKernels: readonly KernelConfig[] = [
  ...activationKernels,
  ...cumulativeKernels,
  ...resizeKernels,
  cropAndResizeKernel,
  fusedBatchNorm,
  stridedSliceKernel,
];

/** Registers the gradients; does nothing where that has been done. */
export function installGradients(): void {
  for (const gradient of gradients) overrideGradient(gradient);
}
