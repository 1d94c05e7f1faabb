// Kernels that compute a gradient in one pass, and the ops that run them.
import {
  engine,
  type KernelConfig,
  type NamedAttrMap,
  type Tensor,
  type TensorInfo,
  util,
} from '@tensorflow/tfjs-core';
import { address, simd } from '../simd.ts';
import { defineKernel, type Tensors } from '../stock.ts';

export const RELU_GRAD = 'ThimbleReluGrad';
export const CLIP_GRAD = 'ThimbleClipByValueGrad';
export const SOFTMAX_GRAD = 'ThimbleSoftmaxGrad';

type Pointers = [from: number, dy: number, dx: number];

/** A kernel of a saved tensor and dy, both of the shape of its result. */
function define<Attrs>(
  kernelName: string,
  run: (pointers: Pointers, saved: TensorInfo, attrs: Attrs) => void,
): KernelConfig {
  return defineKernel<Tensors<'saved' | 'dy'>, Attrs>(
    kernelName,
    ({ inputs: { saved, dy }, attrs, backend }) => {
      const dx = backend.makeOutput(saved.shape, 'float32');
      run([saved, dy, dx].map((info) => address(backend, info)) as Pointers, saved, attrs);
      return dx;
    },
  );
}

/** The kernels that {@link runGradient} knows. */
export const activationKernels: readonly KernelConfig[] = [
  define(RELU_GRAD, (pointers, { shape }) =>
    simd().reluGradient(...pointers, util.sizeFromShape(shape)),
  ),
  define<{ low: number; high: number }>(CLIP_GRAD, (pointers, { shape }, { low, high }) =>
    simd().clampGradient(...pointers, util.sizeFromShape(shape), low, high),
  ),
  define(SOFTMAX_GRAD, (pointers, { shape }) => {
    const columns = shape.at(-1) ?? 1;
    if (columns > 0) {
      simd().softmaxGradient(...pointers, util.sizeFromShape(shape) / columns, columns);
    }
  }),
];

/** Runs one of them as an op, differentiable in its turn. */
export function runGradient(
  kernelName: string,
  saved: Tensor,
  dy: Tensor,
  attrs: NamedAttrMap = {},
): Tensor {
  return engine().runKernel(kernelName, { saved, dy }, attrs);
}
