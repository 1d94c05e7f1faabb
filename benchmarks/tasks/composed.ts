// The gradients that stock wasm lacks, composed of ops that it has: what it is lent so that it can train a
// convolution at all. Filter gradients of convolutions as a convolution with exchanged roles, depthwise
// ones tap by tap. NHWC, no dilation, one filter per channel.
import * as tf from '@tensorflow/tfjs-core';

interface Attrs {
  strides: [number, number] | number;
  pad: 'same' | 'valid' | number;
  filterShape?: [number, number, number, number];
  inputShape?: [number, number, number, number];
}
type Inputs = Record<string, tf.TensorInfo>;

function tensorOf(info: tf.TensorInfo): tf.Tensor4D {
  return info as unknown as tf.Tensor4D;
}

function geometry(
  x: number[],
  filter: number[],
  { strides, pad }: Attrs,
  depthwise: boolean,
): tf.backend_util.Conv2DInfo {
  type Shape = [number, number, number, number];
  const info = tf.backend_util.computeConv2DInfo;
  return info(x as Shape, filter as Shape, strides, 1, pad, undefined, depthwise);
}

/** The input as far as windows reach, its padding written out. */
function padded(x: tf.Tensor4D, info: tf.backend_util.Conv2DInfo): tf.Tensor4D {
  const { padInfo, strideHeight, strideWidth, filterHeight, filterWidth } = info;
  const height = (info.outHeight - 1) * strideHeight + filterHeight;
  const width = (info.outWidth - 1) * strideWidth + filterWidth;
  const whole = tf.pad(x, [
    [0, 0],
    [padInfo.top, Math.max(0, height - info.inHeight - padInfo.top)],
    [padInfo.left, Math.max(0, width - info.inWidth - padInfo.left)],
    [0, 0],
  ]);
  return tf.slice(whole, [0, 0, 0, 0], [info.batchSize, height, width, info.inChannels]);
}

function filterGradient({ x, dy }: Inputs, attrs: Attrs): tf.Tensor {
  const info = geometry(x!.shape, attrs.filterShape!, attrs, false);
  const images = tf.transpose(padded(tensorOf(x!), info), [3, 1, 2, 0]) as tf.Tensor4D;
  const filter = tf.transpose(tensorOf(dy!), [1, 2, 0, 3]) as tf.Tensor4D;
  const strides: [number, number] = [info.strideHeight, info.strideWidth];
  return tf.transpose(tf.conv2d(images, filter, 1, 'valid', 'NHWC', strides), [1, 2, 0, 3]);
}

function depthwiseFilterGradient({ x, dy }: Inputs, attrs: Attrs): tf.Tensor {
  const info = geometry(x!.shape, attrs.filterShape!, attrs, true);
  const images = padded(tensorOf(x!), info);
  const taps: tf.Tensor[] = [];
  for (let a = 0; a < info.filterHeight; a++) {
    for (let b = 0; b < info.filterWidth; b++) {
      const end = [
        info.batchSize,
        a + (info.outHeight - 1) * info.strideHeight + 1,
        b + (info.outWidth - 1) * info.strideWidth + 1,
        info.inChannels,
      ];
      const stride = [1, info.strideHeight, info.strideWidth, 1];
      const window = tf.stridedSlice(images, [0, a, b, 0], end, stride);
      taps.push(tf.sum(tf.mul(window, tensorOf(dy!)), [0, 1, 2]));
    }
  }
  return tf.reshape(tf.stack(taps), attrs.filterShape!);
}

function depthwiseInputGradient({ dy, filter }: Inputs, attrs: Attrs): tf.Tensor {
  const info = geometry(attrs.inputShape!, filter!.shape, attrs, true);
  const { batchSize: n, outHeight: h, outWidth: w, inChannels: c, padInfo } = info;
  const [s, t] = [info.strideHeight, info.strideWidth];
  // Zeros between the values of dy make a stride a stride of 1.
  const apart = tf.pad(tf.reshape(tensorOf(dy!), [n, h, 1, w, 1, c]), [
    [0, 0],
    [0, 0],
    [0, s - 1],
    [0, 0],
    [0, t - 1],
    [0, 0],
  ]);
  const top = info.filterHeight - 1 - padInfo.top;
  const left = info.filterWidth - 1 - padInfo.left;
  const spread = tf.pad(tf.reshape(apart, [n, h * s, w * t, c]), [
    [0, 0],
    [top, Math.max(0, info.inHeight + info.filterHeight - 1 - h * s - top)],
    [left, Math.max(0, info.inWidth + info.filterWidth - 1 - w * t - left)],
    [0, 0],
  ]) as tf.Tensor4D;
  const turned = tf.reverse(tensorOf(filter!), [0, 1]);
  const dx = tf.depthwiseConv2d(spread, turned, 1, 'valid');
  return tf.slice(dx, [0, 0, 0, 0], attrs.inputShape!);
}

const COMPOSED: Record<string, (inputs: Inputs, attrs: Attrs) => tf.Tensor> = {
  Conv2DBackpropFilter: filterGradient,
  DepthwiseConv2dNativeBackpropFilter: depthwiseFilterGradient,
  DepthwiseConv2dNativeBackpropInput: depthwiseInputGradient,
};

/** Registers the composed gradients for the stock backend `wasm`. */
export function lendGradients(): void {
  for (const [kernelName, gradient] of Object.entries(COMPOSED)) {
    tf.registerKernel({
      kernelName,
      backendName: 'wasm',
      kernelFunc: ({ inputs, attrs }) =>
        tf.tidy(() => gradient(inputs as Inputs, attrs as unknown as Attrs)),
    });
  }
}
