import {
  Conv2DBackpropInput,
  type Conv2DBackpropInputAttrs,
  DepthwiseConv2dNativeBackpropInput,
  type DepthwiseConv2dNativeBackpropInputAttrs,
  type KernelConfig,
  util,
} from '@tensorflow/tfjs-core';
import { convInfo, isEmpty, isPointwise, sizes } from '../conv-info.ts';
import { matMul } from '../mat-mul.ts';
import { address, simd, withScratch } from '../simd.ts';
import { defineKernel, reshaped, type Tensors, zeros } from '../stock.ts';
import { scratch } from './forward-convolution.ts';

type Attrs = Conv2DBackpropInputAttrs & { dilations?: [number, number] | number };

/** dx[n,h,w,c] = sum over a,b,o of dy[n,i,j,o] w[a,b,c,o], where i*s+a*d-p = h and j*s+b*d-p = w. */
export const conv2DBackpropInput: KernelConfig = defineKernel<Tensors<'dy' | 'filter'>, Attrs>(
  Conv2DBackpropInput,
  ({ inputs: { dy, filter }, attrs, backend }) => {
    const info = convInfo(Conv2DBackpropInput, attrs.inputShape, filter.shape, attrs, false);
    if (isEmpty(info)) return zeros(backend, attrs.inputShape);
    if (isPointwise(info)) {
      const { inChannels, outChannels } = info;
      const pixels = util.sizeFromShape(dy.shape) / outChannels;
      const matrix = reshaped(filter, [inChannels, outChannels]);
      const out = matMul(backend, reshaped(dy, [pixels, outChannels]), matrix, false, true);
      return reshaped(out, attrs.inputShape);
    }
    const dx = backend.makeOutput(attrs.inputShape, 'float32');
    withScratch(backend, scratch(info, false), (work) => {
      const [gradient, weights, to] = [dy, filter, dx].map((info) => address(backend, info));
      simd().convInputGradient(gradient!, weights!, to!, ...sizes(info), work);
    });
    return dx;
  },
);

/** dx[n,h,w,c] = sum over a,b,m of dy[n,i,j,c*M+m] w[a,b,c,m], where i*s+a*d-p = h and j*s+b*d-p = w. */
export const depthwiseBackpropInput: KernelConfig = defineKernel<
  Tensors<'dy' | 'filter'>,
  DepthwiseConv2dNativeBackpropInputAttrs
>(DepthwiseConv2dNativeBackpropInput, ({ inputs: { dy, filter }, attrs, backend }) => {
  const name = DepthwiseConv2dNativeBackpropInput;
  const info = convInfo(name, attrs.inputShape, filter.shape, attrs, true);
  if (isEmpty(info)) return zeros(backend, attrs.inputShape);
  const dx = backend.makeOutput(attrs.inputShape, 'float32');
  withScratch(backend, scratch(info, true), (work) => {
    const [gradient, weights, to] = [dy, filter, dx].map((info) => address(backend, info));
    simd().depthwiseInputGradient(gradient!, weights!, to!, ...sizes(info), work);
  });
  return dx;
});
