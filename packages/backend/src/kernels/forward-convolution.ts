// The forward convolutions. Stock takes 'same' for a flag and shifts the result where stride and kernel
// leave input unused, (out - 1) * stride + kernel < in (ones [1,6,6,1], kernel 2, stride 3: 0 instead of
// 4), and it keeps a packed copy of every filter that it has seen.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  Conv2D,
  DepthwiseConv2dNative,
  FusedConv2D,
  FusedDepthwiseConv2D,
  type KernelConfig,
  type TensorInfo,
  util,
} from '@tensorflow/tfjs-core';
import {
  type ConvAttrs,
  type ConvInfo,
  convInfo,
  isEmpty,
  isPointwise,
  sizes,
} from '../conv-info.ts';
import { finish, type InKernel, inKernel } from '../epilogue.ts';
import { matMul } from '../mat-mul.ts';
import { address, simd, withScratch } from '../simd.ts';
import { defineKernel, reshaped, zeros } from '../stock.ts';

type Inputs = {
  x: TensorInfo;
  filter: TensorInfo;
  bias?: TensorInfo;
  preluActivationWeights?: TensorInfo;
};
type Attrs = ConvAttrs & { activation?: string; leakyreluAlpha?: number };

function forward(kernelName: string, depthwise: boolean): KernelConfig {
  return defineKernel<Inputs, Attrs>(kernelName, ({ inputs, attrs, backend }) => {
    const { x, filter, bias, preluActivationWeights } = inputs;
    const info = convInfo(kernelName, x.shape, filter.shape, attrs, depthwise);
    const { activation = 'linear', leakyreluAlpha } = attrs;
    const end = { bias, preluActivationWeights, activation, leakyreluAlpha };
    if (isEmpty(info)) return finish(backend, zeros(backend, info.outShape), end);
    if (!depthwise && isPointwise(info)) {
      return finish(backend, pointwise(backend, x, filter, info), end);
    }
    const simple = inKernel(backend, end, info.outChannels);
    const y = convolve(backend, x, filter, info, depthwise, simple ?? [0, 0]);
    return simple ? y : finish(backend, y, end);
  });
}

function pointwise(
  backend: BackendWasm,
  x: TensorInfo,
  filter: TensorInfo,
  { inChannels, outChannels, outShape }: ConvInfo,
): TensorInfo {
  const pixels = reshaped(x, [util.sizeFromShape(x.shape) / inChannels, inChannels]);
  const matrix = reshaped(filter, [inChannels, outChannels]);
  return reshaped(matMul(backend, pixels, matrix, false, false), outShape);
}

function convolve(
  backend: BackendWasm,
  x: TensorInfo,
  filter: TensorInfo,
  info: ConvInfo,
  depthwise: boolean,
  end: InKernel,
): TensorInfo {
  const y = backend.makeOutput(info.outShape, 'float32');
  const { conv, depthwise: convDepthwise } = simd();
  const run = depthwise ? convDepthwise : conv;
  withScratch(backend, scratch(info, depthwise), (work) => {
    const [from, to] = [address(backend, x), address(backend, y)];
    run(from, address(backend, filter), ...end, to, ...sizes(info), work);
  });
  return y;
}

/** Bytes of scratch that the kernels of a convolution need. */
export function scratch(info: ConvInfo, depthwise: boolean): number {
  const { filterHeight, filterWidth, strideHeight, strideWidth } = info;
  const { dilationHeight, dilationWidth, outHeight, outWidth, outChannels } = info;
  const windows = [filterHeight, filterWidth, strideHeight, strideWidth] as const;
  const output = [outHeight, outWidth, outChannels] as const;
  const { convScratch, depthwiseScratch } = simd();
  return depthwise
    ? depthwiseScratch(
        info.inHeight,
        info.inWidth,
        ...output,
        ...windows,
        dilationHeight,
        dilationWidth,
      )
    : convScratch(info.inChannels, ...output, ...windows, dilationHeight, dilationWidth);
}

/** y[n,i,j,o] = sum over a,b,c of x[n, i*s+a*d-p, j*s+b*d-p, c] w[a,b,c,o]. */
export const conv2D: KernelConfig = forward(Conv2D, false);
/** {@link conv2D}, then bias and activation. */
export const fusedConv2D: KernelConfig = forward(FusedConv2D, false);
/** y[n,i,j,c*M+m] = sum over a,b of x[n, i*s+a*d-p, j*s+b*d-p, c] w[a,b,c,m]. */
export const depthwiseConv2D: KernelConfig = forward(DepthwiseConv2dNative, true);
/** {@link depthwiseConv2D}, then bias and activation. */
export const fusedDepthwiseConv2D: KernelConfig = forward(FusedDepthwiseConv2D, true);
