// Pooling forward. In two dimensions stock loses a NaN (a window that starts with one gives -Infinity) and
// misplaces its results where rounding or padding adds windows; in three it takes 1.2e-38 for the maximum of
// negative values.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  AvgPool,
  AvgPool3D,
  type KernelConfig,
  type KernelFunc,
  MaxPool,
  MaxPool3D,
  MaxPoolWithArgmax,
  type TensorInfo,
} from '@tensorflow/tfjs-core';
import { BACKEND_NAME } from '../name.ts';
import { address, simd } from '../simd.ts';
import { type Call, defineKernel, type Tensors } from '../stock.ts';
import { type PoolAttrs, type PoolInfo, poolInfo, poolInfo3D } from './pool-info.ts';
import { forMaxima, forWindows } from './windows.ts';

/** out[h,w,c] = the maximum of the window of (h, w); NaN where it holds one. float32 or int32. */
export const maxPool: KernelConfig = forward(MaxPool, poolInfo);
/** out[h,w,c] = the mean of the values in the window of (h, w); the padding does not count. */
export const avgPool: KernelConfig = forward(AvgPool, poolInfo);
/** {@link maxPool} in three dimensions. */
export const maxPool3D: KernelConfig = forward(MaxPool3D, poolInfo3D);
/** {@link avgPool} in three dimensions. */
export const avgPool3D: KernelConfig = forward(AvgPool3D, poolInfo3D);

function forward(name: string, geometry: typeof poolInfo): KernelConfig {
  const average = name === AvgPool || name === AvgPool3D;
  return defineKernel<Tensors<'x'>, PoolAttrs>(name, ({ inputs: { x }, attrs, backend }) => {
    const info = geometry(name, x.shape, attrs);
    const out = backend.makeOutput(info.shape, x.dtype);
    if (x.dtype !== 'float32') {
      (average ? meanOfWindows : maximaOfWindows)(backend, x, out, info);
      return out;
    }
    const { avgPool: mean, maxPool: maximum } = simd();
    const { batch, input, channels, output, kernel, stride, pad } = info;
    const [from, to] = [address(backend, x), address(backend, out)];
    const run = average ? mean : maximum;
    run(from, to, batch, ...input, channels, ...output, ...kernel, ...stride, ...pad);
    return out;
  });
}

function maximaOfWindows(
  backend: BackendWasm,
  x: TensorInfo,
  out: TensorInfo,
  info: PoolInfo,
): void {
  const from = backend.typedArrayFromHeap(x);
  const to = backend.typedArrayFromHeap(out);
  forMaxima(from, info, (at, i) => {
    to[i] = from[at] as number;
  });
}

function meanOfWindows(backend: BackendWasm, x: TensorInfo, out: TensorInfo, info: PoolInfo): void {
  const from = backend.typedArrayFromHeap(x);
  const to = backend.typedArrayFromHeap(out);
  const { channels } = info;
  forWindows(info, (window, pixels, count) => {
    for (let c = 0; c < channels; c++) {
      let sum = 0;
      for (let i = 0; i < count; i++) sum += from[(pixels[i] as number) * channels + c] as number;
      to[window * channels + c] = sum / count;
    }
  });
}

type ArgmaxAttrs = PoolAttrs & { includeBatchInIndex: boolean };

/**
 * The maxima of the windows and their indices (h * width + w) * channels + c, with `includeBatchInIndex`
 * counted through the batch. Stock gives index 0 for a window without a value above 0.
 */
export const maxPoolWithArgmax: KernelConfig = {
  kernelName: MaxPoolWithArgmax,
  backendName: BACKEND_NAME,
  kernelFunc: ((call: Call<Tensors<'x'>, ArgmaxAttrs>) => {
    const { inputs, attrs, backend } = call;
    const info = poolInfo(MaxPoolWithArgmax, inputs.x.shape, attrs);
    const pooled = backend.makeOutput(info.shape, inputs.x.dtype);
    const indices = backend.makeOutput(info.shape, 'int32');
    const from = backend.typedArrayFromHeap(inputs.x);
    const [values, places] = [pooled, indices].map((x) => backend.typedArrayFromHeap(x));
    const image = info.input[1] * info.input[2] * info.channels;
    forMaxima(from, info, (at, i) => {
      values![i] = from[at] as number;
      places![i] = attrs.includeBatchInIndex ? at : at % image;
    });
    return [pooled, indices];
  }) as unknown as KernelFunc,
};
