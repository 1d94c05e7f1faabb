import {
  AvgPoolGrad,
  type KernelConfig,
  MaxPoolGrad,
  type TensorInfo,
} from '@tensorflow/tfjs-core';
import type { PoolSizes } from '@thimble/kernels';
import { address, simd } from '../simd.ts';
import { defineKernel, type Tensors } from '../stock.ts';
import { type PoolAttrs, poolInfo } from './pool-info.ts';

/**
 * dx[argmax of window] += dy[window]. Of equal maxima the first takes it, in row-major order, as on cpu.
 * Stock looks for the maximum from FLT_MIN upwards, so a window without a value above 0 (every window of
 * zeros after a ReLU) sends its gradient to element 0 of the whole tensor.
 */
export const maxPoolGrad: KernelConfig = defineKernel<Tensors<'dy' | 'input'>, PoolAttrs>(
  MaxPoolGrad,
  ({ inputs: { dy, input }, attrs, backend }) => {
    const dx = backend.makeOutput(input.shape, 'float32');
    const [x, gradient, to] = [input, dy, dx].map((info) => address(backend, info));
    simd().maxPoolGradient(x!, gradient!, to!, ...sizes(MaxPoolGrad, input, dy, attrs));
    return dx;
  },
);

/**
 * dx[h,w] = sum over the windows that hold (h,w) of dy[window] / (values in the window). The forward pass
 * divides by the values that a window holds, padding left out; tfjs's gradient divides by the size of the
 * whole window, on every backend.
 */
export const avgPoolGrad: KernelConfig = defineKernel<Tensors<'dy' | 'input'>, PoolAttrs>(
  AvgPoolGrad,
  ({ inputs: { dy, input }, attrs, backend }) => {
    const dx = backend.makeOutput(input.shape, 'float32');
    const [gradient, to] = [dy, dx].map((info) => address(backend, info));
    simd().avgPoolGradient(gradient!, to!, ...sizes(AvgPoolGrad, input, dy, attrs));
    return dx;
  },
);

function sizes(name: string, input: TensorInfo, dy: TensorInfo, attrs: PoolAttrs): PoolSizes {
  const info = poolInfo(name, input.shape, attrs, dy.shape);
  const plane = ([, height, width]: [number, number, number]) => [height, width] as const;
  return [
    info.batch,
    ...plane(info.input),
    info.channels,
    ...plane(info.output),
    ...plane(info.kernel),
    ...plane(info.stride),
    ...plane(info.pad),
  ];
}
