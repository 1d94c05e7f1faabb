// What the kernels are told beside pointers.

/** A byte offset into the memory. */
export type Pointer = number;

/** What {@link Kernels.biasActivation} applies. */
export const ACTIVATIONS = { linear: 0, relu: 1, relu6: 2 } as const;

/** What {@link Kernels.apply} applies; log1p(x) is ln(1 + x), softplus(x) is ln(1 + e^x). */
export const FUNCTIONS = { exp: 0, log: 1, log1p: 2, tanh: 3, softplus: 4, selu: 5 } as const;

/** The sizes of a convolution of NHWC images; `top` and `left` are the padding before the first row and column. */
export type ConvSizes = [
  batch: number,
  inHeight: number,
  inWidth: number,
  inChannels: number,
  outHeight: number,
  outWidth: number,
  outChannels: number,
  kernelHeight: number,
  kernelWidth: number,
  strideHeight: number,
  strideWidth: number,
  dilationHeight: number,
  dilationWidth: number,
  top: number,
  left: number,
];

/** The sizes of a pooling of NHWC images. */
export type PoolSizes = [
  batch: number,
  inHeight: number,
  inWidth: number,
  channels: number,
  outHeight: number,
  outWidth: number,
  kernelHeight: number,
  kernelWidth: number,
  strideHeight: number,
  strideWidth: number,
  top: number,
  left: number,
];

/** The sizes of a pooling of NDHWC volumes. No window may lie in the padding alone. */
export type VolumePoolSizes = [
  batch: number,
  inDepth: number,
  inHeight: number,
  inWidth: number,
  channels: number,
  outDepth: number,
  outHeight: number,
  outWidth: number,
  kernelDepth: number,
  kernelHeight: number,
  kernelWidth: number,
  strideDepth: number,
  strideHeight: number,
  strideWidth: number,
  front: number,
  top: number,
  left: number,
];
