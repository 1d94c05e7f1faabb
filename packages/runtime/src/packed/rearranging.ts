// Layers that put values in another order.
import type { GraphNode } from '@thimble/graph';
import { NOWHERE, permuted, picked, repeated, reshaped, type View } from './view.ts';

type Rearranging = (view: View, node: GraphNode, shape: readonly number[]) => View | undefined;

/** By operation: what it makes of a view; undefined where it cannot be one. */
export const REARRANGING: Record<string, Rearranging> = {
  flatten: (view, _node, shape) => reshaped(view, shape),
  reshape: (view, _node, shape) => reshaped(view, shape),
  permute: (view, { attributes }) =>
    permuted(
      view,
      (attributes.dims as number[]).map((dim) => dim - 1),
    ),
  repeatVector: (view, { attributes }) => repeated(view, attributes.n as number),
  cropping2d: (view, { attributes }) =>
    inSpace(view, attributes, attributes.cropping as Pair[], (size, [before, after]) =>
      Array.from({ length: size - before - after }, (_, i) => before + i),
    ),
  zeroPadding2d: (view, { attributes }) =>
    inSpace(view, attributes, attributes.padding as Pair[], (size, [before, after]) => [
      ...Array<number>(before).fill(NOWHERE),
      ...Array.from({ length: size }, (_, i) => i),
      ...Array<number>(after).fill(NOWHERE),
    ]),
  upSampling2d: (view, { attributes }) =>
    attributes.interpolation === 'nearest'
      ? inSpace(view, attributes, attributes.size as number[], (size, times) =>
          Array.from({ length: size * times }, (_, i) => Math.floor(i / times)),
        )
      : undefined,
};

type Pair = [before: number, after: number];

/** Picks along the two axes that a layer takes for rows and columns. */
function inSpace<T>(
  view: View,
  { dataFormat }: GraphNode['attributes'],
  along: readonly T[],
  indices: (size: number, how: T) => number[],
): View {
  const first = dataFormat === 'channelsFirst' ? 1 : 0;
  return along.reduce(
    (seen, how, i) => picked(seen, first + i, indices(seen.shape[first + i]!, how)),
    view,
  );
}
