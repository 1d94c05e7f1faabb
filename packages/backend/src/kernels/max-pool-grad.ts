// Stock looks for the maximum from FLT_MIN upwards, so a window without a value above 0 (every window of
// zeros after a ReLU) sends its gradient to element 0 of the whole tensor.
import {
  backend_util,
  type KernelConfig,
  MaxPoolGrad,
  type MaxPoolGradAttrs,
} from '@tensorflow/tfjs-core';
import { defineKernel, floats, type Tensors, zeros } from '../stock.ts';

/** dx[argmax of window] += dy[window]. Of equal maxima the first takes it, in row-major order, as on cpu. */
export const maxPoolGrad: KernelConfig = defineKernel<Tensors<'dy' | 'input'>, MaxPoolGradAttrs>(
  MaxPoolGrad,
  ({ inputs: { dy, input }, attrs, backend }) => {
    const info = backend_util.computePool2DInfo(
      input.shape as [number, number, number, number],
      attrs.filterSize,
      attrs.strides,
      1,
      attrs.pad,
      attrs.dimRoundingMode,
    );
    const dx = zeros(backend, input.shape);
    route(floats(backend, input), floats(backend, dy), floats(backend, dx), info);
    return dx;
  },
);

function route(
  x: Float32Array,
  dy: Float32Array,
  dx: Float32Array,
  info: backend_util.Conv2DInfo,
): void {
  const { batchSize, inHeight, inWidth, inChannels, outHeight, outWidth } = info;
  const { filterHeight, filterWidth, strideHeight, strideWidth, padInfo } = info;
  const winner = new Int32Array(inChannels);
  const best = new Float32Array(inChannels);
  let pixel = 0;
  for (let n = 0; n < batchSize; n++) {
    for (let i = 0; i < outHeight; i++) {
      const top = Math.max(0, i * strideHeight - padInfo.top);
      const bottom = Math.min(inHeight, i * strideHeight - padInfo.top + filterHeight);
      for (let j = 0; j < outWidth; j++, pixel += inChannels) {
        const left = Math.max(0, j * strideWidth - padInfo.left);
        const right = Math.min(inWidth, j * strideWidth - padInfo.left + filterWidth);
        const start = ((n * inHeight + top) * inWidth + left) * inChannels;
        if (top >= bottom || left >= right) continue;
        for (let c = 0; c < inChannels; c++) {
          winner[c] = start + c;
          best[c] = x[start + c] as number;
        }
        for (let h = top; h < bottom; h++) {
          for (let w = left; w < right; w++) {
            const at = ((n * inHeight + h) * inWidth + w) * inChannels;
            for (let c = 0; c < inChannels; c++) {
              const value = x[at + c] as number;
              if (value > (best[c] as number)) {
                best[c] = value;
                winner[c] = at + c;
              }
            }
          }
        }
        for (let c = 0; c < inChannels; c++) {
          (dx[winner[c] as number] as number) += dy[pixel + c] as number;
        }
      }
    }
  }
}
