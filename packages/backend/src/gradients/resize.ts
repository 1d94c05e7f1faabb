// The gradients of resizing. Stock wasm and cpu ignore halfPixelCenters, and are wrong in other places
// each. Forward is linear and works on rows and columns on their own, so backward is its transpose,
// axis by axis.
import {
  type KernelConfig,
  ResizeBilinearGrad,
  type ResizeBilinearGradAttrs,
  ResizeNearestNeighborGrad,
  type ResizeNearestNeighborGradAttrs,
} from '@tensorflow/tfjs-core';
import { defineKernel, floats, type Tensors, zeros } from '../stock.ts';

type Attrs = (ResizeBilinearGradAttrs | ResizeNearestNeighborGradAttrs) & {
  halfPixelCenters?: boolean;
};

/** What every output position reads: `low` and `high` with the weights 1 - part and part. */
interface Taps {
  low: Int32Array;
  high: Int32Array;
  part: Float32Array;
}

/** The positions as the forward kernels compute them, in float32. */
function taps(size: number, out: number, attrs: Attrs, nearest: boolean): Taps {
  const { alignCorners, halfPixelCenters } = attrs;
  const corners = alignCorners && out > 1;
  const ratio = Math.fround((corners ? size - 1 : size) / (corners ? out - 1 : out));
  const result = {
    low: new Int32Array(out),
    high: new Int32Array(out),
    part: new Float32Array(out),
  };
  for (let i = 0; i < out; i++) {
    if (nearest) {
      const at = Math.fround(ratio * (halfPixelCenters ? i + 0.5 : i));
      const whole = alignCorners ? Math.round(at) : Math.floor(at);
      result.low[i] = result.high[i] = Math.max(0, Math.min(size - 1, whole));
      continue;
    }
    const at = Math.fround(halfPixelCenters ? Math.fround(ratio * (i + 0.5)) - 0.5 : ratio * i);
    result.low[i] = Math.max(0, Math.min(size - 1, Math.floor(at)));
    result.high[i] = Math.max(0, Math.min(size - 1, Math.ceil(at)));
    result.part[i] = at - result.low[i];
  }
  return result;
}

function gradient(kernelName: string, nearest: boolean): KernelConfig {
  return defineKernel<Tensors<'dy' | 'images'>, Attrs>(
    kernelName,
    ({ inputs: { dy, images }, attrs, backend }) => {
      const [batch, height, width, channels] = images.shape;
      const [, outHeight, outWidth] = dy.shape;
      const dx = zeros(backend, images.shape);
      const rows = taps(height, outHeight, attrs, nearest);
      const columns = taps(width, outWidth, attrs, nearest);
      const [source, target] = [floats(backend, dy), floats(backend, dx)];
      const add = (from: number, row: number, column: number, weight: number): void => {
        if (weight === 0) return;
        const to = (row * width + column) * channels;
        for (let c = 0; c < channels; c++) target[to + c] += source[from + c] * weight;
      };
      let from = 0;
      for (let n = 0; n < batch; n++) {
        for (let i = 0; i < outHeight; i++) {
          const low = n * height + rows.low[i];
          const high = n * height + rows.high[i];
          const down = rows.part[i];
          for (let j = 0; j < outWidth; j++, from += channels) {
            const right = columns.part[j];
            add(from, low, columns.low[j], (1 - down) * (1 - right));
            add(from, low, columns.high[j], (1 - down) * right);
            add(from, high, columns.low[j], down * (1 - right));
            add(from, high, columns.high[j], down * right);
          }
        }
      }
      return dx;
    },
  );
}

/**
 * Forward y[i] = (1 - f) x[floor(s)] + f x[ceil(s)] along rows and columns, with s the source position
 * of i and f = s - floor(s); nearest: y[i] = x[round or floor(s)]. Backward adds dy[i] with the same
 * weights.
 */
export const resizeKernels: readonly KernelConfig[] = [
  gradient(ResizeBilinearGrad, false),
  gradient(ResizeNearestNeighborGrad, true),
];
