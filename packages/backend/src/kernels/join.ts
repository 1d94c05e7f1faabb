// Tensors put together and taken apart along an axis, in copies from heap to heap. Stock cuts every part from
// a copy of the whole, and joins block by block in JavaScript.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  backend_util,
  Concat,
  type ConcatAttrs,
  type KernelConfig,
  Pack,
  type PackAttrs,
  SplitV,
  type SplitVAttrs,
  type TensorInfo,
  Unpack,
  type UnpackAttrs,
  util,
} from '@tensorflow/tfjs-core';
import { address, simd } from '../simd.ts';
import { defineKernel, runStock, type Tensors } from '../stock.ts';
import { overrideKernel } from './override.ts';

/** Bytes of what lies behind the axes before `axis`. */
const bytesFrom = ({ shape, dtype }: TensorInfo, axis: number) =>
  util.sizeFromShape(shape.slice(axis)) * util.bytesPerElement(dtype);

/** A tensor of blocks in turn from every part: what lies in it behind the axes before `axis`. */
function join(
  backend: BackendWasm,
  parts: readonly TensorInfo[],
  axis: number,
  shape: number[],
): TensorInfo {
  const out = backend.makeOutput(shape, parts[0]!.dtype);
  const blocks = util.sizeFromShape(shape.slice(0, axis));
  const step = bytesFrom(out, axis);
  let to = address(backend, out);
  for (const part of parts) {
    const bytes = bytesFrom(part, axis);
    if (bytes > 0) simd().copyBlocks(address(backend, part), to, blocks, bytes, bytes, step);
    to += bytes;
  }
  return out;
}

/** Tensors of the given shapes that take blocks of x in turn: what lies in them behind the axes before `axis`. */
function part(backend: BackendWasm, x: TensorInfo, axis: number, shapes: number[][]): TensorInfo[] {
  const blocks = util.sizeFromShape(x.shape.slice(0, axis));
  const step = bytesFrom(x, axis);
  let from = address(backend, x);
  return shapes.map((shape) => {
    const out = backend.makeOutput(shape, x.dtype);
    const bytes = bytesFrom(out, axis);
    if (bytes > 0) simd().copyBlocks(from, address(backend, out), blocks, bytes, step, bytes);
    from += bytes;
    return out;
  });
}

/** Strings, and types that stock converts, are left to it. */
const ours = (parts: readonly TensorInfo[]) =>
  parts.every(({ dtype }) => dtype !== 'string' && dtype === parts[0]!.dtype);

/** Tensors one behind the other along an axis. */
const concat = overrideKernel<TensorInfo[], ConcatAttrs>(
  Concat,
  ({ inputs: parts, attrs, backend }) => {
    if (!ours(parts)) return undefined;
    const axis = util.parseAxisParam(attrs.axis, parts[0]!.shape)[0]!;
    const shapes = parts.map(({ shape }) => shape);
    backend_util.assertParamsConsistent(shapes, axis);
    return join(backend, parts, axis, backend_util.computeOutShape(shapes, axis));
  },
);

/** Tensors of one shape along an axis that is new. */
const stack = overrideKernel<TensorInfo[], PackAttrs>(Pack, ({ inputs: parts, attrs, backend }) => {
  const { shape } = parts[0]!;
  if (!ours(parts) || parts.some((other) => !util.arraysEqual(other.shape, shape))) {
    return undefined;
  }
  const axis = attrs.axis < 0 ? attrs.axis + shape.length + 1 : attrs.axis;
  const joined = [...shape.slice(0, axis), parts.length, ...shape.slice(axis)];
  return join(backend, parts, axis, joined);
});

/** A tensor in parts along an axis, of one size or of several. */
const split = defineKernel<Tensors<'x'>, SplitVAttrs>(
  SplitV,
  ({ inputs: { x }, attrs, backend }) => {
    const axis = util.parseAxisParam(attrs.axis, x.shape)[0]!;
    const sizes = backend_util.prepareSplitSize(x, attrs.numOrSizeSplits, axis);
    return part(
      backend,
      x,
      axis,
      sizes.map((size) => [...x.shape.slice(0, axis), size, ...x.shape.slice(axis + 1)]),
    );
  },
);

/** The slices of a tensor along an axis, without that axis. */
const unstack = defineKernel<Tensors<'value'>, UnpackAttrs>(
  Unpack,
  ({ inputs: { value }, attrs, backend }) => {
    if (value.dtype === 'string') return runStock(backend, Unpack, { value }, attrs);
    const axis = util.parseAxisParam(attrs.axis, value.shape)[0]!;
    const shape = [...value.shape.slice(0, axis), ...value.shape.slice(axis + 1)];
    const shapes = Array.from({ length: value.shape[axis]! }, () => shape);
    return part(backend, value, axis, shapes);
  },
);

export const joinKernels: readonly KernelConfig[] = [concat, stack, split, unstack];
