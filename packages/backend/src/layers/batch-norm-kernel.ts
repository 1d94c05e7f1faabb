// Batch normalisation with the statistics of the batch, over the last axis, as one kernel and one for its
// gradient: the layer of tfjs-layers takes about thirty. All sums are in float64.
import { type KernelConfig, type KernelFunc, type TensorInfo, util } from '@tensorflow/tfjs-core';
import { BACKEND_NAME } from '../name.ts';
import { address, simd, withScratch } from '../simd.ts';
import { type Call, defineKernel, matrix, type Tensors } from '../stock.ts';

/** Inputs old, value; output old - (old - value) part. */
export const APPROACH = 'ThimbleApproach';
/** Inputs x, scale, offset; outputs y, mean, variance. */
export const BATCH_NORM = 'ThimbleBatchNorm';
/** Inputs dy, x, mean, variance, scale; outputs the gradients by x, scale, offset. */
export const BATCH_NORM_GRAD = 'ThimbleBatchNormGrad';

type Attrs = { epsilon: number };
type ForwardCall = Call<Tensors<'x' | 'scale' | 'offset'>, Attrs>;
type BackwardCall = Call<Tensors<'dy' | 'x' | 'mean' | 'variance' | 'scale'>, Attrs>;

/**
 * y = (x - m) / sqrt(v + epsilon) * scale + offset, where m and v are mean and variance of x over all
 * axes but the last. S. Ioffe and C. Szegedy, "Batch Normalization", 2015, arXiv:1502.03167, algorithm
 * 1.
 */
function forward({ inputs, attrs: { epsilon }, backend }: ForwardCall): TensorInfo[] {
  const { x, scale, offset } = inputs;
  const outputs = [x, scale, scale].map(({ shape }) => backend.makeOutput(shape, 'float32'));
  const [rows, channels] = matrix(x);
  const { batchNorm, batchNormScratch } = simd();
  withScratch(backend, batchNormScratch(channels), (work) => {
    type Six = [number, number, number, number, number, number];
    const pointers = [x, scale, offset, ...outputs].map((info) => address(backend, info)) as Six;
    batchNorm(...pointers, rows, channels, epsilon, work);
  });
  return outputs;
}

/**
 * With r = 1 / sqrt(v + epsilon), n values per channel, s = sum(dy) and p = sum(dy (x - m)) r:
 * dx = scale r (dy - s / n - (x - m) r p / n), dScale = p, dOffset = s.
 */
function backward({ inputs, attrs: { epsilon }, backend }: BackwardCall): TensorInfo[] {
  const { dy, x, mean, variance, scale } = inputs;
  const outputs = [x, scale, scale].map(({ shape }) => backend.makeOutput(shape, 'float32'));
  const [rows, channels] = matrix(x);
  const { batchNormGradient, batchNormScratch } = simd();
  withScratch(backend, batchNormScratch(channels), (work) => {
    type Eight = [number, number, number, number, number, number, number, number];
    const infos = [dy, x, mean, variance, scale, ...outputs];
    const pointers = infos.map((info) => address(backend, info)) as Eight;
    batchNormGradient(...pointers, rows, channels, epsilon, work);
  });
  return outputs;
}

/** The kernels. */
export const batchNormKernels: readonly KernelConfig[] = [
  defineKernel<Tensors<'old' | 'value'>, { part: number }>(
    APPROACH,
    ({ inputs: { old, value }, attrs: { part }, backend }) => {
      const out = backend.makeOutput(old.shape, 'float32');
      const [from, towards, to] = [old, value, out].map((info) => address(backend, info));
      simd().approach(from!, towards!, to!, util.sizeFromShape(old.shape), part);
      return out;
    },
  ),
  {
    kernelName: BATCH_NORM,
    backendName: BACKEND_NAME,
    kernelFunc: forward as unknown as KernelFunc,
  },
  {
    kernelName: BATCH_NORM_GRAD,
    backendName: BACKEND_NAME,
    kernelFunc: backward as unknown as KernelFunc,
  },
];
