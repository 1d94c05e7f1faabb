// Stock copies the whole input out of the heap to cut a part from it.
import { type KernelConfig, Slice, type SliceAttrs, slice_util, util } from '@tensorflow/tfjs-core';
import { address, simd } from '../simd.ts';
import type { Tensors } from '../stock.ts';
import { overrideKernel } from './override.ts';

/**
 * out[i..] = x[begin + i..] for every i below `size`, copied from heap to heap in the longest runs that there
 * are. Strings and empty parts are left to stock.
 */
export const slice: KernelConfig = overrideKernel<Tensors<'x'>, SliceAttrs>(
  Slice,
  ({ inputs: { x }, attrs, backend }) => {
    const [begin, size] = slice_util.parseSliceParams(x as never, attrs.begin, attrs.size);
    if (x.dtype === 'string' || util.sizeFromShape(size) === 0) return undefined;
    slice_util.assertParamsValid(x as never, begin, size);
    const out = backend.makeOutput(size, x.dtype);
    const { shape } = x;
    const whole = (axis: number) => size[axis] === shape[axis];
    const strides = [...util.computeStrides(shape), 1].map(
      (stride) => stride * util.bytesPerElement(x.dtype),
    );
    // Axes from `inner` on are taken whole, so that they and the one in front of them make a run.
    let inner = shape.length;
    while (inner > 1 && whole(inner - 1)) inner--;
    const run = inner === 0 ? strides[0]! : size[inner - 1]! * strides[inner - 1]!;
    // Runs along the axis in front of it lie equally far apart, and so they do along those it is joined to.
    let axis = inner - 2;
    let runs = size[axis] ?? 1;
    while (axis > 0 && whole(axis)) runs *= size[--axis]!;
    const step = strides[inner - 2] ?? run;
    let to = address(backend, out);
    const walk = (at: number, from: number): void => {
      if (at < axis) {
        for (let i = 0; i < size[at]!; i++) walk(at + 1, from + i * strides[at]!);
        return;
      }
      simd().copyBlocks(from, to, runs, run, step, run);
      to += runs * run;
    };
    walk(
      0,
      begin.reduce((from, first, i) => from + first * strides[i]!, address(backend, x)),
    );
    return out;
  },
);
