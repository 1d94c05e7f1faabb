// Stock copies the whole input out of the heap to cut a part from it.
import { type KernelConfig, Slice, type SliceAttrs, slice_util, util } from '@tensorflow/tfjs-core';
import type { Tensors } from '../stock.ts';
import { overrideKernel } from './override.ts';

/** Values that lie next to each other and are copied at once; fewer are copied one by one. */
const LONG = 16;

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
    // After the output is there: making it may move the heap.
    const [from, to] = [backend.typedArrayFromHeap(x), backend.typedArrayFromHeap(out)];
    const { shape } = x;
    // Axes from `inner` on are taken whole, so that they and the one in front of them make a run.
    let inner = shape.length;
    let block = 1;
    while (inner > 0 && size[inner - 1] === shape[inner - 1]) block *= shape[--inner]!;
    const run = inner === 0 ? block : size[inner - 1]! * block;
    const strides = util.computeStrides(shape);
    const stride = (axis: number) => strides[axis] ?? 1;
    let at = 0;
    const copy = (start: number) => {
      if (run >= LONG) to.set(from.subarray(start, start + run), at);
      else for (let i = 0; i < run; i++) to[at + i] = from[start + i]!;
      at += run;
    };
    const walk = (axis: number, offset: number): void => {
      if (axis >= inner - 1) {
        copy(inner === 0 ? offset : offset + begin[axis]! * stride(axis));
        return;
      }
      const end = begin[axis]! + size[axis]!;
      for (let i = begin[axis]!; i < end; i++) walk(axis + 1, offset + i * stride(axis));
    };
    walk(0, 0);
    return out;
  },
);
