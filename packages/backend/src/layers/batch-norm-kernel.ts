// Batch normalisation with the statistics of the batch, over the last axis, as one kernel and one for its
// gradient: the layer of tfjs-layers takes about thirty. All sums are in float64.
import type { KernelConfig, KernelFunc, TensorInfo } from '@tensorflow/tfjs-core';
import { BACKEND_NAME } from '../name.ts';
import { type Call, floats, type Tensors } from '../stock.ts';

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
  const [values, factors, shifts] = [x, scale, offset].map((info) => floats(backend, info));
  const [y, mean, variance] = outputs.map((info) => floats(backend, info));
  const size = values.length;
  const channels = factors.length;
  const m = new Float64Array(channels);
  const v = new Float64Array(channels);
  for (let i = 0; i < size; i += channels) {
    for (let c = 0; c < channels; c++) m[c] += values[i + c];
  }
  for (let c = 0; c < channels; c++) m[c] /= size / channels;
  for (let i = 0; i < size; i += channels) {
    for (let c = 0; c < channels; c++) {
      const centred = values[i + c] - m[c];
      v[c] += centred * centred;
    }
  }
  const a = new Float64Array(channels);
  const b = new Float64Array(channels);
  for (let c = 0; c < channels; c++) {
    v[c] /= size / channels;
    a[c] = factors[c] / Math.sqrt(v[c] + epsilon);
    b[c] = shifts[c] - m[c] * a[c];
  }
  for (let i = 0; i < size; i += channels) {
    for (let c = 0; c < channels; c++) y[i + c] = values[i + c] * a[c] + b[c];
  }
  mean.set(m);
  variance.set(v);
  return outputs;
}

/**
 * With r = 1 / sqrt(v + epsilon), n values per channel, s = sum(dy) and p = sum(dy (x - m)) r:
 * dx = scale r (dy - s / n - (x - m) r p / n), dScale = p, dOffset = s.
 */
function backward({ inputs, attrs: { epsilon }, backend }: BackwardCall): TensorInfo[] {
  const { x, scale } = inputs;
  const outputs = [x, scale, scale].map(({ shape }) => backend.makeOutput(shape, 'float32'));
  const [dy, values] = [inputs.dy, x].map((info) => floats(backend, info));
  const [m, v, factors] = [inputs.mean, inputs.variance, scale].map((info) =>
    floats(backend, info),
  );
  const [dx, dScale, dOffset] = outputs.map((info) => floats(backend, info));
  const size = values.length;
  const channels = factors.length;
  const s = new Float64Array(channels);
  const p = new Float64Array(channels);
  for (let i = 0; i < size; i += channels) {
    for (let c = 0; c < channels; c++) {
      const d = dy[i + c];
      s[c] += d;
      p[c] += d * (values[i + c] - m[c]);
    }
  }
  const [ofDy, ofX, constant] = [0, 1, 2].map(() => new Float64Array(channels));
  for (let c = 0; c < channels; c++) {
    const r = 1 / Math.sqrt(v[c] + epsilon);
    p[c] *= r;
    ofDy[c] = factors[c] * r;
    ofX[c] = (-ofDy[c] * r * p[c] * channels) / size;
    constant[c] = (-ofDy[c] * s[c] * channels) / size - ofX[c] * m[c];
  }
  for (let i = 0; i < size; i += channels) {
    for (let c = 0; c < channels; c++) {
      dx[i + c] = dy[i + c] * ofDy[c] + values[i + c] * ofX[c] + constant[c];
    }
  }
  dScale.set(p);
  dOffset.set(s);
  return outputs;
}

/** The two kernels. */
export const batchNormKernels: readonly KernelConfig[] = [
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
