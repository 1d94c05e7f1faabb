// The geometry of pooling, in two and three dimensions.
import { backend_util } from '@tensorflow/tfjs-core';
import { ShapeError } from '@thimble/base';

type Pool2D = Parameters<typeof backend_util.computePool2DInfo>;
type Pool3D = Parameters<typeof backend_util.computePool3DInfo>;

/** Batch, input, output, kernel, stride and padding; three axes each: depth, height, width. */
export interface PoolInfo {
  batch: number;
  channels: number;
  input: [number, number, number];
  output: [number, number, number];
  kernel: [number, number, number];
  stride: [number, number, number];
  /** What is padded before the first value; what comes after the last follows from the rest. */
  pad: [number, number, number];
  /** The shape of the result. */
  shape: number[];
}

/** The attributes that decide the geometry. */
export interface PoolAttrs {
  filterSize: number | number[];
  strides: number | number[];
  pad: 'same' | 'valid' | number | backend_util.ExplicitPadding;
  dimRoundingMode?: 'floor' | 'round' | 'ceil';
}

/**
 * The geometry of pooling NHWC images. A numeric padding counts for both axes by their own kernel size and
 * stride; tfjs takes the height's for both.
 *
 * @param dyShape In a gradient, the shape of what comes from behind: tfjs does not tell the gradient how the
 * output was rounded.
 * @throws ShapeError where a window would lie in the padding alone.
 */
export function poolInfo(
  name: string,
  shape: readonly number[],
  attrs: PoolAttrs,
  dyShape?: readonly number[],
): PoolInfo {
  const { pad } = attrs;
  const sides: [number, number] = [pad as number, pad as number];
  const explicit = typeof pad === 'number' ? [[0, 0], sides, sides, [0, 0]] : pad;
  const info = backend_util.computePool2DInfo(
    shape as Pool2D[0],
    attrs.filterSize as Pool2D[1],
    attrs.strides as Pool2D[2],
    1,
    explicit as Pool2D[4],
    attrs.dimRoundingMode,
  );
  return checked(name, {
    batch: info.batchSize,
    channels: info.inChannels,
    input: [1, info.inHeight, info.inWidth],
    output: [1, dyShape?.[1] ?? info.outHeight, dyShape?.[2] ?? info.outWidth],
    kernel: [1, info.filterHeight, info.filterWidth],
    stride: [1, info.strideHeight, info.strideWidth],
    pad: [0, info.padInfo.top, info.padInfo.left],
    shape: info.outShape,
  });
}

/**
 * The geometry of pooling NDHWC volumes, see {@link poolInfo}. tfjs pads 'same' by a negative number, so skips
 * the first values, where the stride leaves some unused; in two dimensions it does not.
 */
export function poolInfo3D(name: string, shape: readonly number[], attrs: PoolAttrs): PoolInfo {
  const info = backend_util.computePool3DInfo(
    shape as Pool3D[0],
    attrs.filterSize as Pool3D[1],
    attrs.strides as Pool3D[2],
    1,
    attrs.pad as Pool3D[4],
    attrs.dimRoundingMode,
  );
  const { front, top, left } = info.padInfo;
  return checked(name, {
    batch: info.batchSize,
    channels: info.inChannels,
    input: [info.inDepth, info.inHeight, info.inWidth],
    output: [info.outDepth, info.outHeight, info.outWidth],
    kernel: [info.filterDepth, info.filterHeight, info.filterWidth],
    stride: [info.strideDepth, info.strideHeight, info.strideWidth],
    pad: [Math.max(0, front), Math.max(0, top), Math.max(0, left)],
    shape: info.outShape,
  });
}

function checked(name: string, info: PoolInfo): PoolInfo {
  const { input, output, kernel, stride, pad } = info;
  for (let axis = 0; axis < 3; axis++) {
    const last = ((output[axis] as number) - 1) * (stride[axis] as number) - (pad[axis] as number);
    const inside =
      (pad[axis] as number) < (kernel[axis] as number) && last < (input[axis] as number);
    if ((output[axis] as number) < 1 || !inside) {
      throw new ShapeError(
        `${name}: with kernel [${kernel}], strides [${stride}] and padding [${pad}] an input of [${input}] (depth, height, width) ` +
          'leaves no window, or one that lies in the padding alone. Take a smaller kernel or less padding.',
      );
    }
  }
  return info;
}
