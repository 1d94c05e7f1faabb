import {
  AvgPoolGrad,
  type AvgPoolGradAttrs,
  backend_util,
  type KernelConfig,
  MaxPoolGrad,
  type MaxPoolGradAttrs,
  type TensorInfo,
} from '@tensorflow/tfjs-core';
import type { PoolSizes } from '@thimble/kernels';
import { address, simd } from '../simd.ts';
import { defineKernel, type Tensors } from '../stock.ts';

/**
 * dx[argmax of window] += dy[window]. Of equal maxima the first takes it, in row-major order, as on cpu.
 * Stock looks for the maximum from FLT_MIN upwards, so a window without a value above 0 (every window of
 * zeros after a ReLU) sends its gradient to element 0 of the whole tensor.
 */
export const maxPoolGrad: KernelConfig = defineKernel<Tensors<'dy' | 'input'>, MaxPoolGradAttrs>(
  MaxPoolGrad,
  ({ inputs: { dy, input }, attrs, backend }) => {
    const dx = backend.makeOutput(input.shape, 'float32');
    const [x, gradient, to] = [input, dy, dx].map((info) => address(backend, info));
    simd().maxPoolGradient(x!, gradient!, to!, ...sizes(input, attrs));
    return dx;
  },
);

/**
 * dx[h,w] = sum over the windows that hold (h,w) of dy[window] / (values in the window). The forward pass
 * divides by the values that a window holds, padding left out; tfjs's gradient divides by the size of the
 * whole window, on every backend.
 */
export const avgPoolGrad: KernelConfig = defineKernel<Tensors<'dy' | 'input'>, AvgPoolGradAttrs>(
  AvgPoolGrad,
  ({ inputs: { dy, input }, attrs, backend }) => {
    const dx = backend.makeOutput(input.shape, 'float32');
    const [gradient, to] = [dy, dx].map((info) => address(backend, info));
    simd().avgPoolGradient(gradient!, to!, ...sizes(input, attrs));
    return dx;
  },
);

function sizes(input: TensorInfo, attrs: AvgPoolGradAttrs & Partial<MaxPoolGradAttrs>): PoolSizes {
  const info = backend_util.computePool2DInfo(
    input.shape as [number, number, number, number],
    attrs.filterSize,
    attrs.strides,
    1,
    attrs.pad,
    attrs.dimRoundingMode,
  );
  const { batchSize, inHeight, inWidth, inChannels, outHeight, outWidth } = info;
  const { filterHeight, filterWidth, strideHeight, strideWidth, padInfo } = info;
  return [
    batchSize,
    inHeight,
    inWidth,
    inChannels,
    outHeight,
    outWidth,
    filterHeight,
    filterWidth,
    strideHeight,
    strideWidth,
    padInfo.top,
    padInfo.left,
  ];
}
