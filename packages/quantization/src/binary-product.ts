// Products of signs with binary weights: named ops, for which a backend may have a kernel that works on bits.
import * as tf from '@tensorflow/tfjs-core';
import { namedOp } from '@thimble/core';

/**
 * Kernels that a backend may have, with the inputs `x` and `kernel` and, for the convolution, the attributes
 * of tf.conv2d. x holds -1 and +1; `kernel` -a and +a with one a per output, or 0 where it is pruned. The
 * convolution pads with zeros.
 */
export const BINARY_MAT_MUL = 'ThimbleBinaryMatMul';
export const BINARY_CONV_2D = 'ThimbleBinaryConv2D';

/** Strides, padding and dilation of a convolution of NHWC images. */
export interface BinaryConvOptions {
  strides: [number, number];
  pad: 'same' | 'valid';
  dilations: [number, number];
}

/** A backend's kernel serves predictions; under a gradient the stock op does, which has one. */
function served(
  kernelName: string,
  inputs: Record<string, tf.Tensor>,
  attrs: Parameters<typeof namedOp>[2],
  compose: () => tf.Tensor,
): tf.Tensor {
  if (tf.engine().state.gradientDepth > 0) return compose();
  return namedOp(kernelName, inputs, attrs, compose);
}

/** x kernel for x [..., in] and kernel [in, out]. */
export function binaryMatMul(x: tf.Tensor, kernel: tf.Tensor): tf.Tensor {
  const [inputs, outputs] = kernel.shape as [number, number];
  const rows = tf.reshape(x, [-1, inputs]) as tf.Tensor2D;
  const y = served(BINARY_MAT_MUL, { x: rows, kernel }, {}, () =>
    tf.matMul(rows, kernel as tf.Tensor2D),
  );
  return tf.reshape(y, [...x.shape.slice(0, -1), outputs]);
}

/** The convolution of x [batch, height, width, in] with kernel [height, width, in, out]. */
export function binaryConv(
  x: tf.Tensor,
  kernel: tf.Tensor,
  { strides, pad, dilations }: BinaryConvOptions,
): tf.Tensor {
  return served(BINARY_CONV_2D, { x, kernel }, { strides, pad, dilations }, () =>
    tf.conv2d(x as tf.Tensor4D, kernel as tf.Tensor4D, strides, pad, 'NHWC', dilations),
  );
}
