// Training bugs of tfjs-layers, made right where the backend is `thimble`; the chained ops are for all.
import type { KernelConfig } from '@tensorflow/tfjs-core';
import { installBatchNorm } from './batch-norm.ts';
import { batchNormKernels } from './batch-norm-kernel.ts';
import { installChainedOps } from './chained-ops.ts';
import { crossEntropyKernels, installCrossEntropy } from './cross-entropy.ts';
import { installFusedLayers } from './fused-layers.ts';
import { installNoise } from './noise.ts';

/** The kernels that the layers below call. */
export const layerKernels: readonly KernelConfig[] = [...batchNormKernels, ...crossEntropyKernels];

/** Puts the fixes in place; does nothing where that has been done. */
export function installLayerFixes(): void {
  installChainedOps();
  installBatchNorm();
  installCrossEntropy();
  installFusedLayers();
  installNoise();
}
