import {
  DepthwiseConv2dNativeBackpropFilter,
  type DepthwiseConv2dNativeBackpropFilterAttrs,
  type KernelConfig,
} from '@tensorflow/tfjs-core';
import { type ConvInfo, convInfo } from '../conv-info.ts';
import { defineKernel, floats, type Tensors } from '../stock.ts';

/** dW[a,b,c,m] = sum over n,i,j of x[n, i*s+a*d-p, j*s+b*d-p, c] dy[n,i,j,c*M+m]; stock wasm lacks it. */
export const depthwiseBackpropFilter: KernelConfig = defineKernel<
  Tensors<'x' | 'dy'>,
  DepthwiseConv2dNativeBackpropFilterAttrs
>(DepthwiseConv2dNativeBackpropFilter, ({ inputs: { x, dy }, attrs, backend }) => {
  const name = DepthwiseConv2dNativeBackpropFilter;
  const info = convInfo(name, x.shape, attrs.filterShape, attrs, true);
  const out = backend.makeOutput(attrs.filterShape, 'float32');
  floats(backend, out).set(sum(floats(backend, x), floats(backend, dy), info));
  return out;
});

/** Summed in double precision: a sum has as many terms as the batch has pixels. */
function sum(x: Float32Array, dy: Float32Array, info: ConvInfo): Float64Array {
  const { batchSize, inHeight, inWidth, inChannels, outHeight, outWidth, outChannels } = info;
  const { filterHeight, filterWidth, strideHeight, strideWidth, padInfo } = info;
  const dw = new Float64Array(filterHeight * filterWidth * outChannels);
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
            const source = ((n * inHeight + h) * inWidth + w) * inChannels;
            addProducts(dw, tap, x, source, dy, pixel, inChannels, multiplier);
          }
        }
      }
    }
  }
  return dw;
}

function addProducts(
  dw: Float64Array,
  tap: number,
  x: Float32Array,
  source: number,
  dy: Float32Array,
  pixel: number,
  channels: number,
  multiplier: number,
): void {
  if (multiplier === 1) {
    for (let c = 0; c < channels; c++) {
      (dw[tap + c] as number) += (x[source + c] as number) * (dy[pixel + c] as number);
    }
    return;
  }
  for (let c = 0, o = 0; c < channels; c++) {
    const value = x[source + c] as number;
    for (let m = 0; m < multiplier; m++, o++) {
      (dw[tap + o] as number) += value * (dy[pixel + o] as number);
    }
  }
}
