// The input gradient of a convolution. Stock is a naive loop. Two ways, chosen by their cost:
//   flipped:   at stride 1 it is a forward convolution of dy with the filter turned by 180 degrees and
//              its channels exchanged, which XNNPACK does fast;
//   scattered: dy times the transposed filter gives for every output pixel its window of the input;
//              the windows are added up in place. Any stride, and better where a forward convolution
//              would work mostly on padding or on few channels.
// Tried (batch 60): LeNet-5's second convolution 27.9 ms flipped, 12.9 scattered; 3x3 32 to 32 at 15x15,
// batch 32: 8.4 against 18.2. The scattered form goes in chunks that fit the cache.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  BatchMatMul,
  Conv2D,
  Conv2DBackpropInput,
  type Conv2DBackpropInputAttrs,
  type KernelConfig,
  Reverse,
  type TensorInfo,
  Transpose,
  util,
} from '@tensorflow/tfjs-core';
import { type ConvInfo, canTurn, convInfo, turnedPadding } from '../conv-info.ts';
import { matMul } from '../mat-mul.ts';
import {
  defineKernel,
  dropPart,
  floats,
  free,
  part,
  reshaped,
  runStock,
  type Tensors,
  zeros,
} from '../stock.ts';
import { isPointwise } from './conv2d-backprop-filter.ts';

/** Adding one value to the input gradient costs about as much as this many multiply-adds of XNNPACK. */
const SCATTER_COST = 30;
/** XNNPACK computes output channels in groups of this many. */
const CHANNEL_GROUP = 8;
/** Window values per chunk of the scattered form: 2 MB. */
const CHUNK = 1 << 19;

/** dx[n,h,w,c] = sum over a,b,o of dy[n,i,j,o] w[a,b,c,o], where i*s+a-p = h and j*s+b-p = w. */
export const conv2DBackpropInput: KernelConfig = defineKernel<
  Tensors<'dy' | 'filter'>,
  Conv2DBackpropInputAttrs
>(Conv2DBackpropInput, ({ inputs: { dy, filter }, attrs, backend }) => {
  const info = convInfo(Conv2DBackpropInput, attrs.inputShape, filter.shape, attrs, false);
  if (util.sizeFromShape(dy.shape) === 0) return zeros(backend, attrs.inputShape);
  if (isPointwise(info)) return pointwise(backend, dy, filter, info);
  return flipIsCheaper(info)
    ? flipped(backend, dy, filter, info)
    : scattered(backend, dy, filter, info);
});

function flipIsCheaper(info: ConvInfo): boolean {
  const { inChannels, outChannels } = info;
  if (!canTurn(info)) return false;
  const groups = Math.ceil(inChannels / CHANNEL_GROUP) * CHANNEL_GROUP;
  const flip = info.inHeight * info.inWidth * outChannels * groups;
  const scatter = info.outHeight * info.outWidth * inChannels * (outChannels + SCATTER_COST);
  return flip <= scatter;
}

function pointwise(
  backend: BackendWasm,
  dy: TensorInfo,
  filter: TensorInfo,
  { inChannels, outChannels, inShape }: ConvInfo,
): TensorInfo {
  const pixels = util.sizeFromShape(dy.shape) / outChannels;
  const matrix = reshaped(filter, [inChannels, outChannels]);
  const out = matMul(backend, reshaped(dy, [pixels, outChannels]), matrix, false, true);
  return reshaped(out, inShape);
}

function flipped(
  backend: BackendWasm,
  dy: TensorInfo,
  filter: TensorInfo,
  info: ConvInfo,
): TensorInfo {
  const turned = runStock(backend, Reverse, { x: filter }, { dims: [0, 1] });
  const exchanged = runStock(backend, Transpose, { x: turned }, { perm: [0, 1, 3, 2] });
  const out = runStock(
    backend,
    Conv2D,
    { x: dy, filter: exchanged },
    {
      strides: [1, 1],
      dilations: [1, 1],
      pad: turnedPadding(info),
      dataFormat: 'NHWC',
    },
  );
  free(backend, turned, exchanged);
  return out;
}

function scattered(
  backend: BackendWasm,
  dy: TensorInfo,
  filter: TensorInfo,
  info: ConvInfo,
): TensorInfo {
  const { batchSize, outChannels } = info;
  const windowSize = info.filterHeight * info.filterWidth * info.inChannels;
  const pixels = info.outHeight * info.outWidth;
  const matrix = reshaped(filter, [windowSize, outChannels]);
  const turned = runStock(backend, Transpose, { x: matrix }, { perm: [1, 0] });
  const b = reshaped(turned, [1, outChannels, windowSize]);
  const out = zeros(backend, info.inShape);
  const images = Math.max(1, Math.floor(CHUNK / (pixels * windowSize)));
  for (let first = 0; first < batchSize; first += images) {
    const count = Math.min(images, batchSize - first);
    const a = part(backend, dy, first * pixels * outChannels, [1, count * pixels, outChannels]);
    const attrs = { transposeA: false, transposeB: false };
    const windows = runStock(backend, BatchMatMul, { a, b }, attrs);
    addWindows(floats(backend, windows), floats(backend, out), first, count, info);
    dropPart(backend, a);
    free(backend, windows);
  }
  free(backend, turned);
  return out;
}

/** Adds the windows of `count` images, one after the other in `windows`, to the input gradient `dx`. */
function addWindows(
  windows: Float32Array,
  dx: Float32Array,
  first: number,
  count: number,
  info: ConvInfo,
): void {
  const { inHeight, inWidth, inChannels, outHeight, outWidth, filterHeight, filterWidth } = info;
  const { strideHeight, strideWidth, padInfo } = info;
  let start = 0;
  for (let image = first; image < first + count; image++) {
    for (let i = 0; i < outHeight; i++) {
      const top = i * strideHeight - padInfo.top;
      for (let j = 0; j < outWidth; j++) {
        const left = j * strideWidth - padInfo.left;
        const from = Math.max(0, -left);
        const to = Math.min(filterWidth, inWidth - left);
        for (let a = Math.max(0, -top); a < Math.min(filterHeight, inHeight - top); a++) {
          let target = ((image * inHeight + top + a) * inWidth + left + from) * inChannels;
          let source = start + (a * filterWidth + from) * inChannels;
          const end = start + (a * filterWidth + to) * inChannels;
          while (source < end) (dx[target++] as number) += windows[source++] as number;
        }
        start += filterHeight * filterWidth * inChannels;
      }
    }
  }
}
