import {
  Conv2DBackpropFilter,
  type Conv2DBackpropFilterAttrs,
  DepthwiseConv2dNativeBackpropFilter,
  type DepthwiseConv2dNativeBackpropFilterAttrs,
  type KernelConfig,
  util,
} from '@tensorflow/tfjs-core';
import { convInfo, isEmpty, isPointwise, sizes } from '../conv-info.ts';
import { matMul } from '../mat-mul.ts';
import { address, simd, withScratch } from '../simd.ts';
import { defineKernel, reshaped, type Tensors, zeros } from '../stock.ts';
import { scratch } from './forward-convolution.ts';

type Attrs = Conv2DBackpropFilterAttrs & { dilations?: [number, number] | number };

/** dW[a,b,c,o] = sum over n,i,j of x[n, i*s+a*d-p, j*s+b*d-p, c] dy[n,i,j,o]; stock wasm lacks it. */
export const conv2DBackpropFilter: KernelConfig = defineKernel<Tensors<'x' | 'dy'>, Attrs>(
  Conv2DBackpropFilter,
  ({ inputs: { x, dy }, attrs, backend }) => {
    const info = convInfo(Conv2DBackpropFilter, x.shape, attrs.filterShape, attrs, false);
    if (isEmpty(info)) return zeros(backend, attrs.filterShape);
    if (isPointwise(info)) {
      const { inChannels, outChannels } = info;
      const pixels = util.sizeFromShape(dy.shape) / outChannels;
      const rows = reshaped(x, [pixels, inChannels]);
      const out = matMul(backend, rows, reshaped(dy, [pixels, outChannels]), true, false);
      return reshaped(out, attrs.filterShape);
    }
    const dw = backend.makeOutput(attrs.filterShape, 'float32');
    withScratch(backend, scratch(info, false), (work) => {
      const [from, gradient, to] = [x, dy, dw].map((info) => address(backend, info));
      simd().convFilterGradient(from!, gradient!, to!, ...sizes(info), work);
    });
    return dw;
  },
);

/** dW[a,b,c,m] = sum over n,i,j of x[n, i*s+a*d-p, j*s+b*d-p, c] dy[n,i,j,c*M+m]; stock wasm lacks it. */
export const depthwiseBackpropFilter: KernelConfig = defineKernel<
  Tensors<'x' | 'dy'>,
  DepthwiseConv2dNativeBackpropFilterAttrs
>(DepthwiseConv2dNativeBackpropFilter, ({ inputs: { x, dy }, attrs, backend }) => {
  const name = DepthwiseConv2dNativeBackpropFilter;
  const info = convInfo(name, x.shape, attrs.filterShape, attrs, true);
  if (isEmpty(info)) return zeros(backend, attrs.filterShape);
  const dw = backend.makeOutput(attrs.filterShape, 'float32');
  withScratch(backend, scratch(info, true), (work) => {
    const [from, gradient, to] = [x, dy, dw].map((info) => address(backend, info));
    simd().depthwiseFilterGradient(from!, gradient!, to!, ...sizes(info), work);
  });
  return dw;
});
