// stridedSlice. Stock reads the wrong elements where an axis is dropped (shrinkAxisMask) and another
// has a stride, and throws where nothing is left; it has no gradient.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  type DataType,
  type KernelConfig,
  pad,
  reshape,
  reverse,
  StridedSlice,
  type StridedSliceAttrs,
  slice,
  slice_util,
  type Tensor,
  type TensorInfo,
  util,
  zeros,
} from '@tensorflow/tfjs-core';
import { castTo, defineKernel, free, runStock, type Tensors } from '../stock.ts';
import { aroundAxis, withSize } from './axis.ts';
import { defineGradient, type Gradient } from './override.ts';

/** What is read along every axis of x, masks resolved. */
interface Cut {
  begin: number[];
  end: number[];
  strides: number[];
  /** How many positions along every axis. */
  sizes: number[];
  outShape: number[];
}

function cutOf(shape: number[], a: StridedSliceAttrs): Cut {
  const { begin, end, strides, finalShape } = slice_util.sliceInfo(
    shape,
    a.begin,
    a.end,
    a.strides,
    a.beginMask,
    a.endMask,
    a.ellipsisMask,
    a.newAxisMask,
    a.shrinkAxisMask,
  );
  const sizes = slice_util.computeOutShape(begin, end, strides);
  return { begin, end, strides, sizes, outShape: finalShape };
}

/** y[i] = x[begin + i stride] along every axis. */
export const stridedSliceKernel: KernelConfig = defineKernel<Tensors<'x'>, StridedSliceAttrs>(
  StridedSlice,
  ({ inputs: { x }, attrs, backend }) => {
    const cut = cutOf(x.shape, attrs);
    if (util.sizeFromShape(cut.outShape) === 0) return backend.makeOutput(cut.outShape, x.dtype);
    // An end before the first element, which a stride below 0 needs, can only be said with the mask.
    const endMask = cut.end.reduce((mask, end, axis) => (end < 0 ? mask | (1 << axis) : mask), 0);
    const { begin, end, strides } = cut;
    const masks = { beginMask: 0, endMask, ellipsisMask: 0, newAxisMask: 0, shrinkAxisMask: 0 };
    const sliced = (values: TensorInfo) =>
      runStock(backend, StridedSlice, { x: values }, { begin, end, strides, ...masks });
    if (x.dtype !== 'bool') return relabelled(backend, sliced(x), cut.outShape, x.dtype);
    // Stock reads four bytes per value, a bool has one.
    const whole = castTo(backend, x, 'int32');
    const part = relabelled(backend, sliced(whole), cut.outShape, 'int32');
    const out = castTo(backend, part, 'bool');
    free(backend, whole, part);
    return out;
  },
);

/** The same bits under another type of four bytes: stock calls every slice float32. */
function relabelled(
  backend: BackendWasm,
  { dataId }: TensorInfo,
  shape: number[],
  dtype: DataType,
): TensorInfo {
  backend.dataIdMap.get(dataId).dtype = dtype;
  return { dataId, shape, dtype };
}

/** dx[begin + i stride] = dy[i] along every axis, 0 elsewhere. */
export const stridedSliceGradient: Gradient = defineGradient<StridedSliceAttrs>(
  StridedSlice,
  (dy, saved, attrs) => {
    const { shape } = saved[0] as Tensor;
    return {
      x: () => {
        if (dy.size === 0) return zeros(shape);
        const { begin, strides, sizes } = cutOf(shape, attrs);
        return strides.reduce(
          (d, stride, axis) =>
            spread(d, axis, begin[axis] as number, stride, shape[axis] as number),
          reshape(dy, sizes),
        );
      },
    };
  },
  { inputsToSave: ['x'] },
);

function spread(d: Tensor, axis: number, begin: number, stride: number, size: number): Tensor {
  const [outer, count, inner] = aroundAxis(d.shape, axis);
  if (count === size && stride === 1) return d;
  let flat = reshape(d, [outer, count, inner]);
  if (stride < 0) flat = reverse(flat, 1);
  const step = Math.abs(stride);
  const first = stride < 0 ? begin + (count - 1) * stride : begin;
  if (step > 1) {
    const apart = pad(reshape(flat, [outer, count, 1, inner]), [
      [0, 0],
      [0, 0],
      [0, step - 1],
      [0, 0],
    ]);
    const length = (count - 1) * step + 1;
    flat = slice(reshape(apart, [outer, count * step, inner]), [0, 0, 0], [outer, length, inner]);
  }
  const after = size - first - (flat.shape[1] as number);
  return reshape(
    pad(flat, [
      [0, 0],
      [first, after],
      [0, 0],
    ]),
    withSize(d.shape, axis, size),
  );
}
