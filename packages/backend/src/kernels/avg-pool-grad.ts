// The forward pass divides by the number of values that a window holds, padding left out; the gradient of
// tfjs divides by the size of the whole window, on every backend. The two must agree.
import {
  AvgPoolGrad,
  type AvgPoolGradAttrs,
  backend_util,
  type KernelConfig,
} from '@tensorflow/tfjs-core';
import { defineKernel, floats, type Tensors, zeros } from '../stock.ts';

/** dx[h,w] = sum over the windows that hold (h,w) of dy[window] / (values in the window). */
export const avgPoolGrad: KernelConfig = defineKernel<Tensors<'dy' | 'input'>, AvgPoolGradAttrs>(
  AvgPoolGrad,
  ({ inputs: { dy, input }, attrs, backend }) => {
    const info = backend_util.computePool2DInfo(
      input.shape as [number, number, number, number],
      attrs.filterSize,
      attrs.strides,
      1,
      attrs.pad,
    );
    const dx = zeros(backend, input.shape);
    spread(floats(backend, dy), floats(backend, dx), info);
    return dx;
  },
);

function spread(dy: Float32Array, dx: Float32Array, info: backend_util.Conv2DInfo): void {
  const { batchSize, inHeight, inWidth, inChannels, outHeight, outWidth } = info;
  const { filterHeight, filterWidth, strideHeight, strideWidth, padInfo } = info;
  let pixel = 0;
  for (let n = 0; n < batchSize; n++) {
    for (let i = 0; i < outHeight; i++) {
      const top = Math.max(0, i * strideHeight - padInfo.top);
      const bottom = Math.min(inHeight, i * strideHeight - padInfo.top + filterHeight);
      for (let j = 0; j < outWidth; j++, pixel += inChannels) {
        const left = Math.max(0, j * strideWidth - padInfo.left);
        const right = Math.min(inWidth, j * strideWidth - padInfo.left + filterWidth);
        const share = 1 / ((bottom - top) * (right - left));
        for (let h = top; h < bottom; h++) {
          for (let w = left; w < right; w++) {
            const at = ((n * inHeight + h) * inWidth + w) * inChannels;
            for (let c = 0; c < inChannels; c++) {
              (dx[at + c] as number) += (dy[pixel + c] as number) * share;
            }
          }
        }
      }
    }
  }
}
