// Stock looks up the coordinates of every value: 5 ms for a matrix of 235,200 values; and on bool it writes
// four bytes per value, beyond the tensor.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  type KernelConfig,
  Reverse,
  type ReverseAttrs,
  type TensorInfo,
  util,
} from '@tensorflow/tfjs-core';
import { address, simd } from '../simd.ts';
import { free, type Tensors } from '../stock.ts';
import { overrideKernel } from './override.ts';

/** x turned round along some axes, one after the other. Strings are left to stock. */
export const reverse: KernelConfig = overrideKernel<Tensors<'x'>, ReverseAttrs>(
  Reverse,
  ({ inputs: { x }, attrs, backend }) => {
    if (x.dtype === 'string') return undefined;
    const axes = util.parseAxisParam(attrs.dims, x.shape).filter((axis) => x.shape[axis] !== 1);
    // Where nothing turns, an axis of one value behind all others, to copy x.
    if (axes.length === 0) axes.push(x.shape.length);
    return axes.reduce((from, axis) => {
      const out = turned(backend, from, axis);
      if (from !== x) free(backend, from);
      return out;
    }, x);
  },
);

function turned(backend: BackendWasm, x: TensorInfo, axis: number): TensorInfo {
  const out = backend.makeOutput(x.shape, x.dtype);
  const outer = util.sizeFromShape(x.shape.slice(0, axis));
  const size = x.shape[axis] ?? 1;
  const block = util.sizeFromShape(x.shape.slice(axis + 1)) * util.bytesPerElement(x.dtype);
  if (outer * size * block === 0) return out;
  const [from, to] = [address(backend, x), address(backend, out)];
  const whole = size * block;
  if (size < outer) {
    // One slice of all after the other.
    for (let i = 0; i < size; i++) {
      const last = from + (size - 1 - i) * block;
      simd().copyBlocks(last, to + i * block, outer, block, whole, whole);
    }
  } else {
    for (let i = 0; i < outer; i++) {
      const last = from + i * whole + (size - 1) * block;
      simd().copyBlocks(last, to + i * whole, size, block, -block, block);
    }
  }
  return out;
}
