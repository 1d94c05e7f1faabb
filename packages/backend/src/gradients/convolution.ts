// Convolutions. Stock refuses a dilation, and forgets the rounding mode; its gradient of the gradient
// exists for the input alone. The kernels called here take `dilations` and `dimRoundingMode` as
// attributes.
import {
  Conv2D,
  Conv2DBackpropFilter,
  Conv2DBackpropInput,
  DepthwiseConv2dNative,
  DepthwiseConv2dNativeBackpropFilter,
  DepthwiseConv2dNativeBackpropInput,
  engine,
  type NamedAttrMap,
  type NamedTensorMap,
  type Tensor,
} from '@tensorflow/tfjs-core';
import type { ConvAttrs } from '../conv-info.ts';
import { defineGradient, type Gradient } from './override.ts';

function run(kernelName: string, inputs: NamedTensorMap, attrs: object): Tensor {
  return engine().runKernel(kernelName, inputs, attrs as NamedAttrMap) as Tensor;
}

/** What the gradient kernels must know of the forward pass. */
function geometry({ strides, pad, dataFormat, dimRoundingMode, dilations }: ConvAttrs): ConvAttrs {
  return { strides, pad, dataFormat, dimRoundingMode, dilations: dilations ?? [1, 1] } as ConvAttrs;
}

/**
 * The three products of one convolution: forward y(x, w), input gradient x(dy, w), filter gradient
 * w(x, dy).
 */
function gradients(forward: string, backInput: string, backFilter: string): Gradient[] {
  const output = (x: Tensor, filter: Tensor, attrs: ConvAttrs) =>
    run(forward, { x, filter }, geometry(attrs));
  const input = (dy: Tensor, filter: Tensor, inputShape: number[], attrs: ConvAttrs) =>
    run(backInput, { dy, filter }, { ...geometry(attrs), inputShape });
  const weights = (x: Tensor, dy: Tensor, filterShape: number[], attrs: ConvAttrs) =>
    run(backFilter, { x, dy }, { ...geometry(attrs), filterShape });
  return [
    defineGradient<ConvAttrs>(
      forward,
      (dy, saved, attrs) => {
        const [x, filter] = saved as [Tensor, Tensor];
        return {
          x: () => input(dy, filter, x.shape, attrs),
          filter: () => weights(x, dy, filter.shape, attrs),
        };
      },
      { inputsToSave: ['x', 'filter'] },
    ),
    defineGradient<ConvAttrs>(
      backInput,
      (dx, saved, attrs) => {
        const [dy, filter] = saved as [Tensor, Tensor];
        return {
          dy: () => output(dx, filter, attrs),
          filter: () => weights(dx, dy, filter.shape, attrs),
        };
      },
      { inputsToSave: ['dy', 'filter'] },
    ),
    defineGradient<ConvAttrs>(
      backFilter,
      (dw, saved, attrs) => {
        const [x, dy] = saved as [Tensor, Tensor];
        return {
          x: () => input(dy, dw, x.shape, attrs),
          dy: () => output(x, dw, attrs),
        };
      },
      { inputsToSave: ['x', 'dy'] },
    ),
  ];
}

/**
 * Forward y = x * w, bilinear in x and w. Backward: dx and dw are the two adjoints, which are bilinear
 * again, so every one of the three has its gradient in the other two: gradients of gradients work,
 * dilated or not.
 */
export const convolutionGradients: Gradient[] = [
  ...gradients(Conv2D, Conv2DBackpropInput, Conv2DBackpropFilter),
  ...gradients(
    DepthwiseConv2dNative,
    DepthwiseConv2dNativeBackpropInput,
    DepthwiseConv2dNativeBackpropFilter,
  ),
];
