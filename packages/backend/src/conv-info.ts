// The geometry of a convolution.
import { backend_util } from '@tensorflow/tfjs-core';
import { BackendError, ShapeError } from '@thimble/base';
import type { ConvSizes } from '@thimble/kernels';

type Pad = 'same' | 'valid' | number | backend_util.ExplicitPadding;

/** What tfjs computes from shapes, strides and padding. */
export type ConvInfo = backend_util.Conv2DInfo;

/** The attributes that decide the geometry; tfjs gives the gradient kernels no dilations. */
export interface ConvAttrs {
  strides: [number, number] | number;
  pad: Pad;
  dilations?: [number, number] | number | null;
  dataFormat?: 'NHWC' | 'NCHW';
  dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

/**
 * The geometry of a convolution of an NHWC input of `inputShape` with a filter [height, width, in, out].
 * A numeric padding counts for both dimensions by their own kernel size, stride and dilation (tfjs takes
 * the height's for both).
 */
export function convInfo(
  kernelName: string,
  inputShape: readonly number[],
  filterShape: readonly number[],
  attrs: ConvAttrs,
  depthwise: boolean,
): ConvInfo {
  if (attrs.dataFormat === 'NCHW') {
    throw new BackendError(
      `${kernelName}: the backend "thimble" takes dataFormat NHWC only. Transpose the input to [batch, height, width, channels].`,
    );
  }
  const { pad } = attrs;
  const info = backend_util.computeConv2DInfo(
    inputShape as [number, number, number, number],
    filterShape as [number, number, number, number],
    attrs.strides,
    attrs.dilations ?? 1,
    typeof pad === 'number' ? padding(pad, pad, pad, pad) : pad,
    attrs.dimRoundingMode,
    depthwise,
  );
  // Stock writes past its output here: XNNPACK computes one pixel where tfjs allots none.
  if (info.outHeight < 1 || info.outWidth < 1) {
    const { top, bottom, left, right } = info.padInfo;
    throw new ShapeError(
      `${kernelName}: a kernel of ${info.effectiveFilterHeight} x ${info.effectiveFilterWidth} does not fit into an input of ` +
        `${info.inHeight + top + bottom} x ${info.inWidth + left + right}, padding included. Pad more, or take a smaller kernel.`,
    );
  }
  return info;
}

function padding(
  top: number,
  bottom: number,
  left: number,
  right: number,
): backend_util.ExplicitPadding {
  return [
    [0, 0],
    [top, bottom],
    [left, right],
    [0, 0],
  ];
}

/** The sizes that the kernels take. */
export function sizes(info: ConvInfo): ConvSizes {
  return [
    info.batchSize,
    info.inHeight,
    info.inWidth,
    info.inChannels,
    info.outHeight,
    info.outWidth,
    info.outChannels,
    info.filterHeight,
    info.filterWidth,
    info.strideHeight,
    info.strideWidth,
    info.dilationHeight,
    info.dilationWidth,
    info.padInfo.top,
    info.padInfo.left,
  ];
}

/** Whether the convolution is a plain product of pixels and a matrix. */
export function isPointwise({ padInfo, ...info }: ConvInfo): boolean {
  return (
    info.filterHeight * info.filterWidth * info.strideHeight * info.strideWidth === 1 &&
    padInfo.top + padInfo.bottom + padInfo.left + padInfo.right === 0
  );
}

/** Whether there is nothing to add up: no image, no pixel or no channel. */
export function isEmpty(info: ConvInfo): boolean {
  return info.batchSize * info.inHeight * info.inWidth * info.inChannels * info.outChannels === 0;
}
