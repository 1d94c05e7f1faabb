// At stride 1 with one filter per channel the input gradient is a forward depthwise convolution with the
// filter turned by 180 degrees, which XNNPACK does fast; everything else is a plain loop.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  DepthwiseConv2dNative,
  DepthwiseConv2dNativeBackpropInput,
  type DepthwiseConv2dNativeBackpropInputAttrs,
  type KernelConfig,
  Reverse,
  type TensorInfo,
} from '@tensorflow/tfjs-core';
import { type ConvInfo, canTurn, convInfo, turnedPadding } from '../conv-info.ts';
import { defineKernel, floats, free, runStock, type Tensors, zeros } from '../stock.ts';

/** dx[n,h,w,c] = sum over a,b,m of dy[n,i,j,c*M+m] w[a,b,c,m], where i*s+a*d-p = h and j*s+b*d-p = w. */
export const depthwiseBackpropInput: KernelConfig = defineKernel<
  Tensors<'dy' | 'filter'>,
  DepthwiseConv2dNativeBackpropInputAttrs
>(DepthwiseConv2dNativeBackpropInput, ({ inputs: { dy, filter }, attrs, backend }) => {
  const name = DepthwiseConv2dNativeBackpropInput;
  const info = convInfo(name, attrs.inputShape, filter.shape, attrs, true);
  if (canFlip(info)) return flipped(backend, dy, filter, info);
  const out = zeros(backend, attrs.inputShape);
  scatter(floats(backend, dy), floats(backend, filter), floats(backend, out), info);
  return out;
});

function canFlip(info: ConvInfo): boolean {
  return info.outChannels === info.inChannels && canTurn(info);
}

function flipped(
  backend: BackendWasm,
  dy: TensorInfo,
  filter: TensorInfo,
  info: ConvInfo,
): TensorInfo {
  const turned = runStock(backend, Reverse, { x: filter }, { dims: [0, 1] });
  const out = runStock(
    backend,
    DepthwiseConv2dNative,
    { x: dy, filter: turned },
    {
      strides: [1, 1],
      dilations: [info.dilationHeight, info.dilationWidth],
      pad: turnedPadding(info),
    },
  );
  free(backend, turned);
  return out;
}

function scatter(dy: Float32Array, filter: Float32Array, dx: Float32Array, info: ConvInfo): void {
  const { batchSize, inHeight, inWidth, inChannels, outHeight, outWidth, outChannels } = info;
  const { filterHeight, filterWidth, strideHeight, strideWidth, padInfo } = info;
  const multiplier = outChannels / inChannels;
  for (let n = 0; n < batchSize; n++) {
    for (let i = 0; i < outHeight; i++) {
      for (let a = 0; a < filterHeight; a++) {
        const h = i * strideHeight + a * info.dilationHeight - padInfo.top;
        if (h < 0 || h >= inHeight) continue;
        for (let j = 0; j < outWidth; j++) {
          const pixel = ((n * outHeight + i) * outWidth + j) * outChannels;
          for (let b = 0; b < filterWidth; b++) {
            const w = j * strideWidth + b * info.dilationWidth - padInfo.left;
            if (w < 0 || w >= inWidth) continue;
            const tap = (a * filterWidth + b) * outChannels;
            const target = ((n * inHeight + h) * inWidth + w) * inChannels;
            for (let c = 0, o = 0; c < inChannels; c++) {
              let sum = dx[target + c] as number;
              for (let m = 0; m < multiplier; m++, o++) {
                sum += (dy[pixel + o] as number) * (filter[tap + o] as number);
              }
              dx[target + c] = sum;
            }
          }
        }
      }
    }
  }
}
