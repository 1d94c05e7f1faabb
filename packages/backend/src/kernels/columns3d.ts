// The geometry of three-dimensional convolutions, and the columns of their windows.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { backend_util, type Conv3DAttrs, type TensorInfo } from '@tensorflow/tfjs-core';
import { ShapeError } from '@thimble/base';
import type { Pointer } from '@thimble/kernels';
import { floats } from '../stock.ts';

/** What tfjs computes from shapes, strides and padding. */
export type Conv3DInfo = backend_util.Conv3DInfo;
type Shape3D = [number, number, number, number, number];

/**
 * The geometry of a convolution of volumes. tfjs pads 'same' by a negative number, so skips the first values,
 * where the stride leaves some unused; in two dimensions it does not.
 */
export function conv3DInfo(
  xShape: readonly number[],
  filterShape: readonly number[],
  { strides, pad }: Pick<Conv3DAttrs, 'strides' | 'pad'>,
  dilations: Conv3DAttrs['dilations'] | 1,
): Conv3DInfo {
  const info = backend_util.computeConv3DInfo(
    xShape as Shape3D,
    filterShape as Shape3D,
    strides,
    dilations,
    pad,
  );
  if (Math.min(info.outDepth, info.outHeight, info.outWidth) < 1) {
    throw new ShapeError(
      `conv3d: a filter of [${filterShape}] does not fit into an input of [${xShape}]. Pad more, or take a smaller filter.`,
    );
  }
  const { front, top, left } = info.padInfo;
  const padInfo = { front: Math.max(0, front), top: Math.max(0, top), left: Math.max(0, left) };
  return { ...info, padInfo: { ...info.padInfo, ...padInfo } };
}

/** How many values a window holds. */
export function columnSize(info: Conv3DInfo): number {
  return info.filterDepth * info.filterHeight * info.filterWidth * info.inChannels;
}

/** A block of output pixels, counted through the batch. */
export interface Block {
  first: number;
  rows: number;
}

/** columns[pixel, a, b, c, m] = x of that tap, 0 in the padding; with `back` x += columns. */
export function layOut(
  backend: BackendWasm,
  info: TensorInfo,
  columns: Pointer,
  conv: Conv3DInfo,
  { first, rows }: Block,
  back: boolean,
): void {
  const { inDepth, inHeight, inWidth, inChannels, outDepth, outHeight, outWidth, padInfo } = conv;
  const x = floats(backend, info);
  const to = new Float32Array(x.buffer, columns, rows * columnSize(conv));
  let at = 0;
  for (let pixel = first; pixel < first + rows; pixel++) {
    const k = pixel % outWidth;
    const j = Math.floor(pixel / outWidth) % outHeight;
    const i = Math.floor(pixel / (outWidth * outHeight)) % outDepth;
    const n = Math.floor(pixel / (outWidth * outHeight * outDepth));
    for (let a = 0; a < conv.filterDepth; a++) {
      const d = i * conv.strideDepth + a * conv.dilationDepth - padInfo.front;
      for (let b = 0; b < conv.filterHeight; b++) {
        const h = j * conv.strideHeight + b * conv.dilationHeight - padInfo.top;
        const line = ((n * inDepth + d) * inHeight + h) * inWidth;
        const outside = d < 0 || d >= inDepth || h < 0 || h >= inHeight;
        for (let c = 0; c < conv.filterWidth; c++, at += inChannels) {
          const w = k * conv.strideWidth + c * conv.dilationWidth - padInfo.left;
          const source = (line + w) * inChannels;
          if (outside || w < 0 || w >= inWidth) {
            if (!back) to.fill(0, at, at + inChannels);
          } else if (back) {
            for (let m = 0; m < inChannels; m++) (x[source + m] as number) += to[at + m] as number;
          } else {
            for (let m = 0; m < inChannels; m++) to[at + m] = x[source + m] as number;
          }
        }
      }
    }
  }
}
