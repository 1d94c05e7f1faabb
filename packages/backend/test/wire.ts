// Registers kernels that are not in the list of src/kernels/index.ts yet, as register.ts does.
import * as tf from '@tensorflow/tfjs-core';
import { gradientKernels, installGradients } from '../src/gradients/index.ts';
import { einsum } from '../src/kernels/einsum.ts';
import { installLayerFixes, layerKernels } from '../src/layers/index.ts';

export function wire(): void {
  for (const kernel of [...gradientKernels, ...layerKernels, einsum]) {
    const { kernelName } = kernel;
    if (tf.getKernel(kernelName, 'thimble')?.kernelFunc === kernel.kernelFunc) continue;
    if (tf.getKernel(kernelName, 'thimble')) tf.unregisterKernel(kernelName, 'thimble');
    const setupFunc = tf.getKernel(kernelName, 'wasm')?.setupFunc;
    tf.registerKernel(setupFunc ? { ...kernel, setupFunc } : kernel);
  }
  installGradients();
  installLayerFixes();
}
