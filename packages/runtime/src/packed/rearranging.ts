// Layers that put values in another order.
import type { GraphNode } from '@thimble/graph';
import { NOWHERE, permuted, picked, repeated, reshaped, type View } from './view.ts';

type Rearranging = (view: View, node: GraphNode, shape: readonly number[]) => View | undefined;

/** By operation: what it makes of a view; undefined where it cannot be one. */
export const REARRANGING: Record<string, Rearranging> = {
  flatten: (view, { attributes }, shape) =>
    reshaped(attributes.dataFormat === 'channelsFirst' ? channelsLast(view) : view, shape),
  reshape: (view, _node, shape) => reshaped(view, shape),
  permute: (view, { attributes }) =>
    permuted(
      view,
      (attributes.dims as number[]).map((dim) => dim - 1),
    ),
  repeatVector: (view, { attributes }, [times]) =>
    attributes.n === times ? repeated(view, times!) : undefined,
  cropping2d: (view, { attributes }, shape) =>
    inSpace(view, attributes, shape, attributes.cropping as Pair[], ([before, after]) => ({
      length: (size) => size - before - after,
      index: (i) => before + i,
    })),
  zeroPadding2d: (view, { attributes }, shape) =>
    inSpace(view, attributes, shape, attributes.padding as Pair[], ([before, after]) => ({
      length: (size) => before + size + after,
      index: (i, size) => (i < before || i >= before + size ? NOWHERE : i - before),
    })),
  upSampling2d: (view, { attributes }, shape) =>
    attributes.interpolation === 'nearest'
      ? inSpace(view, attributes, shape, attributes.size as number[], (times) => ({
          length: (size) => size * times,
          index: (i) => Math.floor(i / times),
        }))
      : undefined,
};

/** With the first axis behind the others. */
function channelsLast(view: View): View {
  const axes = view.shape.map((_, axis) => axis);
  return permuted(view, [...axes.slice(1), 0]);
}

type Pair = [before: number, after: number];

/** What lies along an axis. */
interface Picking {
  length(size: number): number;
  /** The index in an axis of `size` that comes to place i. */
  index(i: number, size: number): number;
}

/** Picks along the two axes that a layer takes for rows and columns; undefined where the shape is another. */
function inSpace<T>(
  view: View,
  { dataFormat }: GraphNode['attributes'],
  shape: readonly number[],
  ways: readonly T[],
  picking: (way: T) => Picking,
): View | undefined {
  const first = dataFormat === 'channelsFirst' ? 1 : 0;
  let seen = view;
  for (const [i, way] of ways.entries()) {
    const axis = first + i;
    const size = view.shape[axis]!;
    const { length, index } = picking(way);
    if (length(size) !== shape[axis]) return undefined;
    seen = picked(
      seen,
      axis,
      Int32Array.from({ length: length(size) }, (_, place) => index(place, size)),
    );
  }
  return seen;
}
