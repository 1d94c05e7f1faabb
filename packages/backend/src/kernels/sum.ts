// Stock adds naively in float32 (the mean of 3e7 ones is 0.559) and leaves the result over an empty axis
// unset. It also transposes first, unless the axes are the last ones.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  type KernelConfig,
  Mean,
  type MeanAttrs,
  Sum,
  type SumAttrs,
  type TensorInfo,
} from '@tensorflow/tfjs-core';
import { simd, withScratch } from '../simd.ts';
import { converted, defineKernel, floats, type Tensors } from '../stock.ts';
import { reduceInSteps, reduction, type View } from './reduction.ts';

/** The sum over some axes: float32 to about 1e-7 of the sum of magnitudes, int32 exact modulo 2^32. */
export const sum: KernelConfig = defineKernel<Tensors<'x'>, SumAttrs>(
  Sum,
  ({ inputs: { x }, attrs: { axis, keepDims }, backend }) =>
    x.dtype === 'float32'
      ? total(backend, x, axis, keepDims, false)
      : converted(backend, x, 'int32', (int) => totalInt(backend, int, axis, keepDims)),
);

/** The mean over some axes, in float32; NaN over an empty one. */
export const mean: KernelConfig = defineKernel<Tensors<'x'>, MeanAttrs>(
  Mean,
  ({ inputs: { x }, attrs: { axis, keepDims }, backend }) =>
    converted(backend, x, 'float32', (float) => total(backend, float, axis, keepDims, true)),
);

function total(
  backend: BackendWasm,
  x: TensorInfo,
  axis: number | number[],
  keepDims: boolean,
  divide: boolean,
): TensorInfo {
  const { shape, count, steps } = reduction(x.shape, axis, keepDims);
  const out = backend.makeOutput(shape, 'float32');
  if (count === 0) floats(backend, out).fill(divide ? Number.NaN : 0);
  if (x.shape.includes(0)) return out;
  const { sumMiddle, sumScratch } = simd();
  reduceInSteps(backend, x, out, steps, (from, to, { outer, reduce, inner }: View, last) => {
    const divisor = divide && last ? count : 1;
    if (inner === 1) return sumMiddle(from, to, outer, reduce, 1, divisor, 0);
    withScratch(backend, sumScratch(inner), (scratch) =>
      sumMiddle(from, to, outer, reduce, inner, divisor, scratch),
    );
  });
  return out;
}

function totalInt(
  backend: BackendWasm,
  x: TensorInfo,
  axis: number | number[],
  keepDims: boolean,
): TensorInfo {
  const { shape, count, steps } = reduction(x.shape, axis, keepDims);
  const out = backend.makeOutput(shape, 'int32');
  if (count === 0) backend.typedArrayFromHeap(out).fill(0);
  if (x.shape.includes(0)) return out;
  reduceInSteps(backend, x, out, steps, (from, to, { outer, reduce, inner }) =>
    simd().sumMiddleInt(from, to, outer, reduce, inner),
  );
  return out;
}
