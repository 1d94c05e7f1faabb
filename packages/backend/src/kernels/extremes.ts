// Max, Min, Prod, All, Any. Stock leaves the result over an empty axis unset.
import {
  All,
  type AllAttrs,
  Any,
  type KernelConfig,
  Max,
  type MaxAttrs,
  Min,
  type MinAttrs,
  Prod,
} from '@tensorflow/tfjs-core';
import { simd } from '../simd.ts';
import { defineKernel, runStock, type Tensors } from '../stock.ts';
import { reduceInSteps, reduction } from './reduction.ts';

/** The largest value over some axes; NaN where any value is NaN, or there is none. */
export const max: KernelConfig = extreme(Max, false);
/** The smallest value over some axes; NaN where any value is NaN, or there is none. */
export const min: KernelConfig = extreme(Min, true);
/** The product over some axes; 1 over an empty one. */
export const prod: KernelConfig = orEmpty(Prod, 1);
/** Whether all values are true; true where there are none. */
export const all: KernelConfig = orEmpty(All, 1);
/** Whether any value is true; false where there are none. */
export const any: KernelConfig = orEmpty(Any, 0);

function extreme(kernelName: string, least: boolean): KernelConfig {
  type Attrs = Partial<MaxAttrs & MinAttrs>;
  return defineKernel<Tensors<'x'>, Attrs>(kernelName, ({ inputs: { x }, attrs, backend }) => {
    const axis = (attrs.reductionIndices ?? attrs.axis) as number[]; // null: all axes
    const { shape, count, steps } = reduction(x.shape, axis, attrs.keepDims ?? false);
    const empty = x.shape.includes(0);
    if (x.dtype !== 'float32' && !empty) return runStock(backend, kernelName, { x }, attrs);
    const out = backend.makeOutput(shape, x.dtype);
    if (count === 0) backend.typedArrayFromHeap(out).fill(Number.NaN); // 0 in int32 and bool
    if (empty) return out;
    const { extremeMiddle } = simd();
    reduceInSteps(backend, x, out, steps, (from, to, { outer, reduce, inner }) =>
      extremeMiddle(from, to, outer, reduce, inner, least),
    );
    return out;
  });
}

function orEmpty(kernelName: string, value: number): KernelConfig {
  return defineKernel<Tensors<'x'>, AllAttrs>(kernelName, ({ inputs: { x }, attrs, backend }) => {
    if (!x.shape.includes(0)) return runStock(backend, kernelName, { x }, attrs);
    const { shape } = reduction(x.shape, attrs.axis, attrs.keepDims);
    const out = backend.makeOutput(shape, x.dtype);
    backend.typedArrayFromHeap(out).fill(value);
    return out;
  });
}
