// The geometry of a convolution, and the padding in the one form that every stock kernel gets right.
import { backend_util } from '@tensorflow/tfjs-core';
import { BackendError, ShapeError } from '@thimble/base';

type Pad = 'same' | 'valid' | number | backend_util.ExplicitPadding;

/** What tfjs computes from shapes, strides and padding. */
export type ConvInfo = backend_util.Conv2DInfo;

/** The attributes that decide the geometry; a gradient kernel has no dilations. */
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

/** An explicit padding of an NHWC tensor. */
export function padding(
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

/**
 * Whether the input gradient is a forward convolution of dy with the filter turned by 180 degrees: stride 1,
 * and no window that lies in the padding alone.
 */
export function canTurn({
  strideHeight,
  strideWidth,
  padInfo,
  effectiveFilterHeight,
  effectiveFilterWidth,
}: ConvInfo): boolean {
  return (
    strideHeight === 1 &&
    strideWidth === 1 &&
    Math.max(padInfo.top, padInfo.bottom) < effectiveFilterHeight &&
    Math.max(padInfo.left, padInfo.right) < effectiveFilterWidth
  );
}

/** The padding of that convolution of dy, see {@link canTurn}. */
export function turnedPadding(info: ConvInfo): backend_util.ExplicitPadding {
  const top = info.effectiveFilterHeight - 1 - info.padInfo.top;
  const left = info.effectiveFilterWidth - 1 - info.padInfo.left;
  const bottom = info.inHeight + info.effectiveFilterHeight - 1 - info.outHeight - top;
  const right = info.inWidth + info.effectiveFilterWidth - 1 - info.outWidth - left;
  return padding(top, bottom, left, right);
}

/** The padding of a convolution, spelled out. */
export function explicitPadding(info: ConvInfo): backend_util.ExplicitPadding {
  const { top, bottom, left, right } = info.padInfo;
  return padding(top, bottom, left, right);
}
