import { AvgPool3DGrad, type KernelConfig, MaxPool3DGrad } from '@tensorflow/tfjs-core';
import { defineKernel, floats, type Tensors, zeros } from '../stock.ts';
import { type PoolAttrs, poolInfo3D } from './pool-info.ts';
import { forMaxima, forWindows } from './windows.ts';

/**
 * dx[argmax of window] += dy[window]; of equal maxima the first takes it. Stock sends the gradient of a
 * window without a value above 0 elsewhere.
 */
export const maxPool3DGrad: KernelConfig = defineKernel<Tensors<'dy' | 'input'>, PoolAttrs>(
  MaxPool3DGrad,
  ({ inputs: { dy, input }, attrs, backend }) => {
    const info = poolInfo3D(MaxPool3DGrad, input.shape, attrs);
    const dx = zeros(backend, input.shape);
    const [x, from, to] = [floats(backend, input), floats(backend, dy), floats(backend, dx)];
    forMaxima(x, info, (at, i) => {
      (to[at] as number) += from[i] as number;
    });
    return dx;
  },
);

/**
 * dx[pixel] = sum over the windows that hold it of dy[window] / (values in the window). Stock divides by the
 * size of the whole window, padding included, which the forward pass does not.
 */
export const avgPool3DGrad: KernelConfig = defineKernel<Tensors<'dy' | 'input'>, PoolAttrs>(
  AvgPool3DGrad,
  ({ inputs: { dy, input }, attrs, backend }) => {
    const info = poolInfo3D(AvgPool3DGrad, input.shape, attrs);
    const dx = zeros(backend, input.shape);
    const [from, to] = [floats(backend, dy), floats(backend, dx)];
    const { channels } = info;
    forWindows(info, (window, pixels, count) => {
      for (let i = 0; i < count; i++) {
        const at = (pixels[i] as number) * channels;
        for (let c = 0; c < channels; c++) {
          (to[at + c] as number) += (from[window * channels + c] as number) / count;
        }
      }
    });
    return dx;
  },
);
