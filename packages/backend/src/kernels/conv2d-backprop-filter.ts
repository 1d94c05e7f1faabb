// The filter gradient of a convolution, which stock wasm lacks, as a forward convolution: input and
// gradient change roles. With the batch as channels, the input channels as batch and the gradient as the
// filter, dilated by the stride,
//   x'[c,h,w,n] * dy'[i,j,n,o] = dW'[c,a,b,o],
// so XNNPACK's fast convolution does the work and no image columns are laid out in memory.
// Tried, LeNet-5's second convolution (batch 60, 12x12x20, kernel 5, 50 out): columns laid out in
// JavaScript + matMul 22.6 ms, this 11.0; 3x3 32 to 32 at 15x15, batch 32: 14.7 against 8.8.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  Conv2D,
  Conv2DBackpropFilter,
  type Conv2DBackpropFilterAttrs,
  type KernelConfig,
  Slice,
  type TensorInfo,
  Transpose,
  util,
} from '@tensorflow/tfjs-core';
import { type ConvInfo, convInfo, padding } from '../conv-info.ts';
import { matMul } from '../mat-mul.ts';
import { defineKernel, free, reshaped, runStock, type Tensors, zeros } from '../stock.ts';

/** dW[a,b,c,o] = sum over n,i,j of x[n, i*s+a-p, j*s+b-p, c] dy[n,i,j,o]. */
export const conv2DBackpropFilter: KernelConfig = defineKernel<
  Tensors<'x' | 'dy'>,
  Conv2DBackpropFilterAttrs
>(Conv2DBackpropFilter, ({ inputs: { x, dy }, attrs, backend }) => {
  const info = convInfo(Conv2DBackpropFilter, x.shape, attrs.filterShape, attrs, false);
  if (util.sizeFromShape(dy.shape) === 0) return zeros(backend, attrs.filterShape);
  return isPointwise(info) ? pointwise(backend, x, dy, info) : convolved(backend, x, dy, info);
});

/** Whether the convolution is a plain product of pixels and a matrix. */
export function isPointwise(info: ConvInfo): boolean {
  const { padInfo } = info;
  return (
    info.filterHeight * info.filterWidth * info.strideHeight * info.strideWidth === 1 &&
    padInfo.top + padInfo.bottom + padInfo.left + padInfo.right === 0
  );
}

function pointwise(
  backend: BackendWasm,
  x: TensorInfo,
  dy: TensorInfo,
  { inChannels, outChannels, filterShape }: ConvInfo,
): TensorInfo {
  const pixels = util.sizeFromShape(dy.shape) / outChannels;
  const rows = reshaped(x, [pixels, inChannels]);
  const out = matMul(backend, rows, reshaped(dy, [pixels, outChannels]), true, false);
  return reshaped(out, filterShape);
}

function convolved(
  backend: BackendWasm,
  x: TensorInfo,
  dy: TensorInfo,
  info: ConvInfo,
): TensorInfo {
  const { padInfo, strideHeight, strideWidth, filterHeight, filterWidth } = info;
  // The rows and columns of the padded input that any window touches; the rest is cut off.
  const usedHeight = (info.outHeight - 1) * strideHeight + filterHeight - padInfo.top;
  const usedWidth = (info.outWidth - 1) * strideWidth + filterWidth - padInfo.left;
  const height = Math.min(info.inHeight, usedHeight);
  const width = Math.min(info.inWidth, usedWidth);
  if (height <= 0 || width <= 0) return zeros(backend, info.filterShape); // only padding was seen
  const cut = height < info.inHeight || width < info.inWidth;
  const used = cut
    ? runStock(
        backend,
        Slice,
        { x },
        { begin: [0, 0, 0, 0], size: [info.batchSize, height, width, info.inChannels] },
      )
    : x;
  const input = runStock(backend, Transpose, { x: used }, { perm: [3, 1, 2, 0] });
  const filter = runStock(backend, Transpose, { x: dy }, { perm: [1, 2, 0, 3] });
  const gradient = runStock(
    backend,
    Conv2D,
    { x: input, filter },
    {
      strides: [1, 1],
      dilations: [strideHeight, strideWidth],
      pad: padding(padInfo.top, usedHeight - height, padInfo.left, usedWidth - width),
      dataFormat: 'NHWC',
    },
  );
  const out = runStock(backend, Transpose, { x: gradient }, { perm: [1, 2, 0, 3] });
  free(backend, input, filter, gradient);
  if (cut) free(backend, used);
  return out;
}
