// Values seen in another order: crops, permutations, repetitions and changes of shape, as long as nobody reads them.
import { sizeOf } from '@thimble/base';
import type { Value } from './values.ts';

/** Stands for a zero that is not in the base. */
export const NOWHERE = -1;

/**
 * A value in another order. An entry is that entry of the base, counted row by row with the channels last, whose
 * number is the sum of the places of its indices; it is zero where one of them is {@link NOWHERE}.
 */
export interface View {
  base: Value;
  shape: readonly number[];
  /** By axis and index; absent where the entries of the base are in their own order. */
  places?: readonly Int32Array[];
}

/** The places of all axes. */
function placesOf({ shape, places }: View): readonly Int32Array[] {
  if (places) return places;
  let stride = sizeOf(shape);
  return shape.map((size) => {
    stride /= size;
    return Int32Array.from({ length: size }, (_, i) => i * stride);
  });
}

/** Of one axis those indices that are listed, in that order; zeros for {@link NOWHERE}. */
export function picked(view: View, axis: number, indices: ArrayLike<number>): View {
  const places = placesOf(view).map((own, i) =>
    i === axis ? Int32Array.from(indices, (index) => (index < 0 ? NOWHERE : own[index]!)) : own,
  );
  return { base: view.base, shape: places.map(({ length }) => length), places };
}

/** The axes in another order. */
export function permuted(view: View, axes: readonly number[]): View {
  const places = placesOf(view);
  return {
    base: view.base,
    shape: axes.map((axis) => view.shape[axis]!),
    places: axes.map((axis) => places[axis]!),
  };
}

/** The same `times` over, along a new first axis. */
export function repeated(view: View, times: number): View {
  return {
    base: view.base,
    shape: [times, ...view.shape],
    places: [new Int32Array(times), ...placesOf(view)],
  };
}

/** The same entries in another shape; undefined where that is no sum over the axes. */
export function reshaped(view: View, shape: readonly number[]): View | undefined {
  const { base, places: old } = view;
  if (sizeOf(shape) !== sizeOf(view.shape)) return undefined;
  if (!old) return { base, shape };
  const places: Int32Array[] = [];
  let from = 0;
  let to = 0;
  while (to < shape.length) {
    // As few axes as have the same number of entries before and after.
    let merged: Int32Array = old[from++] ?? new Int32Array(1);
    const sizes = [shape[to++]!];
    let size = sizes[0]!;
    while (merged.length !== size) {
      if (merged.length < size) merged = sum(merged, old[from++]!);
      else {
        sizes.push(shape[to]!);
        size *= shape[to++]!;
      }
    }
    // Axes of one entry may be left at the end.
    while (to === shape.length && from < old.length) merged = sum(merged, old[from++]!);
    const parts = split(merged, sizes);
    if (!parts) return undefined;
    places.push(...parts);
  }
  return { base, shape, places };
}

/** One axis of two. */
function sum(outer: Int32Array, inner: Int32Array): Int32Array<ArrayBuffer> {
  const places = new Int32Array(outer.length * inner.length);
  let at = 0;
  for (const a of outer) {
    for (const b of inner) places[at++] = a < 0 || b < 0 ? NOWHERE : a + b;
  }
  return places;
}

/** Axes of these sizes, whose sums are the places; undefined where there are none. */
function split(places: Int32Array, sizes: readonly number[]): Int32Array[] | undefined {
  if (sizes.length === 1) return [places];
  const [first] = places;
  let stride = places.length;
  const parts = sizes.map((size, axis) => {
    stride /= size;
    const base = axis === 0 ? 0 : first!;
    return Int32Array.from({ length: size }, (_, i) => places[i * stride]! - base);
  });
  const again = parts.reduce((outer, inner) => sum(outer, inner));
  const same = places.every((place, i) => place >= 0 && place === again[i]);
  return same ? parts : undefined;
}

/** Places by channel, the last axis, and by pixel, all others. */
export function placesByPixel(view: View): { channels: Int32Array; pixels: Int32Array } {
  const places = [...placesOf(view)];
  const channels = places.pop() ?? new Int32Array(1);
  return {
    channels,
    pixels: places.reduce((outer, inner) => sum(outer, inner), new Int32Array(1)),
  };
}
