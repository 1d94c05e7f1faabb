// The signatures of the compiled kernels. A pointer is a byte offset into the memory; all tensors are
// contiguous; sizes are at least 1 unless a comment says otherwise. Nothing is checked here: a kernel
// trusts its caller. A kernel may read, but never uses, up to 64 bytes past the end of an operand.
import type { ElementwiseKernels } from './elementwise.ts';
import type { ConvSizes, Pointer, PoolSizes, VolumePoolSizes } from './sizes.ts';

/** The kernels of one memory; see {@link loadKernels}. */
export interface Kernels extends ElementwiseKernels {
  /** Bytes of scratch that `gemm` needs. */
  gemmScratch(m: number, n: number, k: number, transposeB: boolean): number;
  /** C[m, n] = (C +) A[m, k] B[k, n]; A is stored [k, m] with `transposeA`, B [n, k] with `transposeB`. */
  gemm(
    a: Pointer,
    b: Pointer,
    c: Pointer,
    m: number,
    n: number,
    k: number,
    transposeA: boolean,
    transposeB: boolean,
    add: boolean,
    scratch: Pointer,
  ): void;
  /** x[rows, columns] = activation(x + bias[columns]) in place; no bias where the pointer is 0. */
  biasActivation(
    x: Pointer,
    rows: number,
    columns: number,
    bias: Pointer,
    activation: number,
  ): void;

  /** Bytes of scratch that the three functions of a convolution need. */
  convScratch(
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
  ): number;
  /** y = activation(x * w + bias), w [kernelHeight, kernelWidth, in, out]; no bias where its pointer is 0. */
  conv(
    x: Pointer,
    w: Pointer,
    bias: Pointer,
    activation: number,
    y: Pointer,
    ...sizes: [...ConvSizes, scratch: Pointer]
  ): void;
  /** dw[a, b, c, o] = sum over images and pixels of x[n, i s + a d - top, j s + b d - left, c] dy[n, i, j, o]. */
  convFilterGradient(
    x: Pointer,
    dy: Pointer,
    dw: Pointer,
    ...sizes: [...ConvSizes, scratch: Pointer]
  ): void;
  /** dx[n, h, w, c] = sum of dy[n, i, j, o] w[a, b, c, o] where i s + a d - top = h, j s + b d - left = w. */
  convInputGradient(
    dy: Pointer,
    w: Pointer,
    dx: Pointer,
    ...sizes: [...ConvSizes, scratch: Pointer]
  ): void;

  /** Bytes of scratch that the three functions of a depthwise convolution need. */
  depthwiseScratch(
    inHeight: number,
    inWidth: number,
    outHeight: number,
    outWidth: number,
    outChannels: number,
    kernelHeight: number,
    kernelWidth: number,
    strideHeight: number,
    strideWidth: number,
    dilationHeight: number,
    dilationWidth: number,
  ): number;
  /** As `conv`, each channel on its own; w [kernelHeight, kernelWidth, in, out / in]. */
  depthwise(
    x: Pointer,
    w: Pointer,
    bias: Pointer,
    activation: number,
    y: Pointer,
    ...sizes: [...ConvSizes, scratch: Pointer]
  ): void;
  /** The gradient of `depthwise` with respect to w. */
  depthwiseFilterGradient(
    x: Pointer,
    dy: Pointer,
    dw: Pointer,
    ...sizes: [...ConvSizes, scratch: Pointer]
  ): void;
  /** The gradient of `depthwise` with respect to x. */
  depthwiseInputGradient(
    dy: Pointer,
    w: Pointer,
    dx: Pointer,
    ...sizes: [...ConvSizes, scratch: Pointer]
  ): void;

  /** dx[the first maximum of each window] += dy; dx is written whole. A NaN is one only where it comes first. */
  maxPoolGradient(x: Pointer, dy: Pointer, dx: Pointer, ...sizes: PoolSizes): void;
  /** dx = sum over the windows of dy / (values in the window); dx is written whole. */
  avgPoolGradient(dy: Pointer, dx: Pointer, ...sizes: PoolSizes): void;

  /** Bytes of scratch that the two functions of batch normalisation need. */
  batchNormScratch(channels: number): number;
  /** mean and variance of x [rows, channels]; y = (x - mean) / sqrt(variance + epsilon) scale + offset. */
  batchNorm(
    x: Pointer,
    scale: Pointer,
    offset: Pointer,
    y: Pointer,
    mean: Pointer,
    variance: Pointer,
    rows: number,
    channels: number,
    epsilon: number,
    scratch: Pointer,
  ): void;
  /**
   * With r = 1 / sqrt(variance + epsilon), s = sum(dy), p = sum(dy (x - mean)) r:
   * dx = scale r (dy - s / rows - (x - mean) r p / rows), dScale = p, dOffset = s.
   */
  batchNormGradient(
    dy: Pointer,
    x: Pointer,
    mean: Pointer,
    variance: Pointer,
    scale: Pointer,
    dx: Pointer,
    dScale: Pointer,
    dOffset: Pointer,
    rows: number,
    channels: number,
    epsilon: number,
    scratch: Pointer,
  ): void;

  /** out[i] = old[i] - (old[i] - value[i]) part. `count` may be 0. */
  approach(old: Pointer, value: Pointer, out: Pointer, count: number, part: number): void;

  /** dx = dy where x > 0, else 0; keeps a NaN. `count` may be 0. */
  reluGradient(x: Pointer, dy: Pointer, dx: Pointer, count: number): void;
  /** dx = dy where low <= x <= high, else 0. `count` may be 0. */
  clampGradient(
    x: Pointer,
    dy: Pointer,
    dx: Pointer,
    count: number,
    low: number,
    high: number,
  ): void;
  /** dx = y (dy - sum over the row of y dy). */
  softmaxGradient(y: Pointer, dy: Pointer, dx: Pointer, rows: number, columns: number): void;

  /** w += scale g. */
  sgd(w: Pointer, g: Pointer, size: number, scale: number): void;
  /** a = momentum a + g; w += scale a, or with `nesterov` w += scale (g + momentum a). */
  momentum(
    w: Pointer,
    a: Pointer,
    g: Pointer,
    size: number,
    momentum: number,
    scale: number,
    nesterov: boolean,
  ): void;
  /**
   * s = decay s + rest g^2; a = momentum a + rate g / sqrt(s + epsilon); w -= a. Where `c` is not 0:
   * c = decay c + rest g, and the root is of s - (c^2 + epsilon). `rest` is 1 - decay.
   */
  rmsprop(
    w: Pointer,
    s: Pointer,
    a: Pointer,
    c: Pointer,
    g: Pointer,
    size: number,
    decay: number,
    rest: number,
    momentum: number,
    rate: number,
    epsilon: number,
  ): void;
  /**
   * m = beta1 m + rest1 g; v = beta2 v + rest2 g^2; w += scale (m / correction1) / (sqrt(v / correction2) +
   * epsilon). `rest` is 1 - beta, `correction` 1 - beta^t.
   */
  adam(
    w: Pointer,
    m: Pointer,
    v: Pointer,
    g: Pointer,
    size: number,
    beta1: number,
    rest1: number,
    beta2: number,
    rest2: number,
    correction1: number,
    correction2: number,
    epsilon: number,
    scale: number,
  ): void;
  /** s = rho s + rest g^2; u = sqrt(a + epsilon) / sqrt(s + epsilon) g; a = rho a + rest u^2; w += scale u. */
  adadelta(
    w: Pointer,
    s: Pointer,
    a: Pointer,
    g: Pointer,
    size: number,
    rho: number,
    rest: number,
    epsilon: number,
    scale: number,
  ): void;
  /** Bytes of scratch that `sumMiddle` needs. */
  sumScratch(inner: number): number;
  /**
   * out[outer, inner] = sum over r of x[outer, r, inner] / divisor: float32 within blocks of 32 rows,
   * float64 from block to block.
   */
  sumMiddle(
    x: Pointer,
    out: Pointer,
    outer: number,
    reduce: number,
    inner: number,
    divisor: number,
    scratch: Pointer,
  ): void;
  /** out[outer, inner] = sum over r of x[outer, r, inner] in int32, which wraps around. */
  sumMiddleInt(x: Pointer, out: Pointer, outer: number, reduce: number, inner: number): void;
  /** out[outer, inner] = max over r of x[outer, r, inner], with `least` the minimum; keeps a NaN. */
  extremeMiddle(
    x: Pointer,
    out: Pointer,
    outer: number,
    reduce: number,
    inner: number,
    least: boolean,
  ): void;
  /** out[n,d,h,w,c] = the maximum of the window, or NaN where it holds one; an image has depth 1. */
  maxPool(x: Pointer, out: Pointer, ...sizes: VolumePoolSizes): void;
  /** out[n,d,h,w,c] = the mean of the values in the window. */
  avgPool(x: Pointer, out: Pointer, ...sizes: VolumePoolSizes): void;
  /** scale[c] = mean |w[., c]| and y = scale sign(w), the sign of 0 being +1, for w [rows, columns]. */
  binaryWeights(w: Pointer, y: Pointer, scale: Pointer, rows: number, columns: number): void;
  /** dw = dy scale [|w| <= 1] + sign(w) mean(dy sign(w)), the mean that of the column. */
  binaryWeightsGradient(
    dy: Pointer,
    w: Pointer,
    scale: Pointer,
    dw: Pointer,
    rows: number,
    columns: number,
  ): void;
  /** y = x less the mean over the middle axis of [outer, middle, inner], cut to -1 ... 1. */
  centreClip(x: Pointer, y: Pointer, outer: number, middle: number, inner: number): void;
  /** Bytes of scratch that `xnorConv` needs. */
  xnorScratch(
    inHeight: number,
    inWidth: number,
    inChannels: number,
    outChannels: number,
    kernelHeight: number,
    kernelWidth: number,
  ): number;
  /**
   * y = x * w, padded with zeros, on bits, for x of -1 and 1, and w [kernelHeight, kernelWidth, in, out] of -a
   * and a with one a > 0 for each output channel. 0, and y is not to be used, where x or w are something else.
   */
  xnorConv(x: Pointer, w: Pointer, y: Pointer, ...sizes: [...ConvSizes, scratch: Pointer]): number;
}
