// The forward convolutions: the stock kernels, given the padding in numbers.
//
// Stock hands 'same' to XNNPACK as a flag, and XNNPACK then computes a negative padding where stride and
// kernel leave input unused, (out - 1) * stride + kernel < in: the result is shifted (ones [1,6,6,1],
// kernel 2, stride 3: 0 instead of 4). With the padding spelled out it is right.
import {
  Conv2D,
  DepthwiseConv2dNative,
  FusedConv2D,
  FusedDepthwiseConv2D,
  type KernelConfig,
  type TensorInfo,
} from '@tensorflow/tfjs-core';
import { type ConvAttrs, convInfo, explicitPadding } from '../conv-info.ts';
import { defineKernel, runStock } from '../stock.ts';

type Inputs = {
  x: TensorInfo;
  filter: TensorInfo;
  bias?: TensorInfo;
  preluActivationWeights?: TensorInfo;
};

function forward(kernelName: string, depthwise: boolean): KernelConfig {
  return defineKernel<Inputs, ConvAttrs>(kernelName, ({ inputs, attrs, backend }) => {
    const info = convInfo(kernelName, inputs.x.shape, inputs.filter.shape, attrs, depthwise);
    return runStock(backend, kernelName, inputs, { ...attrs, pad: explicitPadding(info) });
  });
}

/** y[n,i,j,o] = sum over a,b,c of x[n, i*s+a-p, j*s+b-p, c] w[a,b,c,o]. */
export const conv2D: KernelConfig = forward(Conv2D, false);
/** {@link conv2D}, then bias and activation. */
export const fusedConv2D: KernelConfig = forward(FusedConv2D, false);
/** y[n,i,j,c*M+m] = sum over a,b of x[n, i*s+a-p, j*s+b-p, c] w[a,b,c,m]. */
export const depthwiseConv2D: KernelConfig = forward(DepthwiseConv2dNative, true);
/** {@link depthwiseConv2D}, then bias and activation. */
export const fusedDepthwiseConv2D: KernelConfig = forward(FusedDepthwiseConv2D, true);
