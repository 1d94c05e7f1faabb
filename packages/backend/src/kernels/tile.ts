// Stock finds out for every value where it comes from: 15 ms for a matrix of 235,200 values.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { type KernelConfig, Tile, type TileAttrs, util } from '@tensorflow/tfjs-core';
import type { Tensors } from '../stock.ts';
import { overrideKernel } from './override.ts';

type Values = ReturnType<BackendWasm['typedArrayFromHeap']>;

/** Values that are worth a call that copies or fills; fewer are written one by one. */
const LONG = 16;

/** A tensor `reps` times after itself along every axis, in copies as long as there are. Strings are left to stock. */
export const tile: KernelConfig = overrideKernel<Tensors<'x'>, TileAttrs>(
  Tile,
  ({ inputs: { x }, attrs: { reps }, backend }) => {
    if (x.dtype === 'string' || x.dtype === 'complex64') return undefined;
    const shape = x.shape.map((size, i) => size * reps[i]!);
    const out = backend.makeOutput(shape, x.dtype);
    if (util.sizeFromShape(shape) === 0) return out;
    const axes = joined(x.shape, reps);
    const [from, to] = [backend.typedArrayFromHeap(x), backend.typedArrayFromHeap(out)];
    let read = 0;
    // Writes what lies below an axis at `at`; returns where it ends.
    const write = (axis: number, at: number): number => {
      const { size, times } = axes[axis]!;
      let end = at;
      if (axis === axes.length - 1) {
        copy(from, read, to, at, size);
        read += size;
        end += size;
      } else for (let i = 0; i < size; i++) end = write(axis + 1, end);
      return repeat(to, at, end, times);
    };
    write(0, 0);
    return out;
  },
);

/** Axes that are written as one: what lies inside is whole, or what lies outside is a single value. */
function joined(shape: readonly number[], reps: readonly number[]) {
  const axes = [{ size: 1, times: 1 }];
  for (let i = shape.length - 1; i >= 0; i--) {
    const inner = axes[0]!;
    const [size, times] = [shape[i]!, reps[i]!];
    if (size === 1) inner.times *= times;
    else if (inner.times === 1) Object.assign(inner, { size: size * inner.size, times });
    else axes.unshift({ size, times });
  }
  return axes;
}

function copy(from: Values, start: number, to: Values, at: number, size: number): void {
  if (size >= LONG) to.set(from.subarray(start, start + size), at);
  else for (let i = 0; i < size; i++) to[at + i] = from[start + i]!;
}

/** Writes what lies from `start` to `end` some times in all, one after the other; returns where they end. */
function repeat(to: Values, start: number, end: number, times: number): number {
  const last = start + (end - start) * times;
  if (last - start < LONG) {
    for (let i = end; i < last; i++) to[i] = to[i - (end - start)]!;
  } else if (end - start === 1) {
    to.fill(to[start]!, end, last);
  } else {
    // Twice as much each time.
    for (let at = end; at < last; at += at - start) {
      to.copyWithin(at, start, Math.min(at, start + last - at));
    }
  }
  return last;
}
