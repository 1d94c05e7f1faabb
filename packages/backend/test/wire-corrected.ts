// Registers the corrected kernels where src/kernels/index.ts does not list them yet.
import * as tf from '@tensorflow/tfjs-core';
import { corrected } from '../src/kernels/corrected.ts';

for (const kernel of corrected) {
  const { kernelName } = kernel;
  if (tf.getKernel(kernelName, 'thimble')?.kernelFunc === kernel.kernelFunc) continue;
  if (tf.getKernel(kernelName, 'thimble')) tf.unregisterKernel(kernelName, 'thimble');
  const setupFunc = tf.getKernel(kernelName, 'wasm')?.setupFunc;
  tf.registerKernel(setupFunc ? { ...kernel, setupFunc } : kernel);
}
