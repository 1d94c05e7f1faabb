// Ops that copy or rearrange values: their gradients put every value of dy back where it came from, and
// add. Stock: mirrorPad forgets the reflected copies, tile stops at rank 4, unstack and split
// into one part throw, gather along batches needs chained ops; the others have no gradient.
import {
  add,
  concat,
  GatherNd,
  GatherV2,
  type GatherV2Attrs,
  gatherND,
  MirrorPad,
  type MirrorPadAttrs,
  pad,
  range,
  reshape,
  reverse,
  ScatterNd,
  SplitV,
  type SplitVAttrs,
  scatterND,
  slice,
  stack,
  sum,
  type Tensor,
  Tile,
  type TileAttrs,
  transpose,
  Unpack,
  type UnpackAttrs,
  unsortedSegmentSum,
  util,
  zeros,
} from '@tensorflow/tfjs-core';
import { aroundAxis, withSize } from './axis.ts';
import { defineGradient, type Gradient } from './override.ts';

/** dx = the middle of dy, plus the turned borders where they were mirrored from. */
export const mirrorPadGradient: Gradient = defineGradient<MirrorPadAttrs>(
  MirrorPad,
  (dy, saved, { paddings, mode }) => {
    const { shape } = saved[0] as Tensor;
    return {
      x: () =>
        paddings.reduce(
          (d, [before, after], axis) =>
            foldMirror(d, axis, before, shape[axis] as number, after, mode === 'reflect' ? 1 : 0),
          dy,
        ),
    };
  },
);

function foldMirror(
  dy: Tensor,
  axis: number,
  before: number,
  size: number,
  after: number,
  skipped: number,
): Tensor {
  const [outer, , inner] = aroundAxis(dy.shape, axis);
  const flat = reshape(dy, [outer, -1, inner]);
  const part = (begin: number, length: number) =>
    slice(flat, [0, begin, 0], [outer, length, inner]);
  let dx = part(before, size);
  const addAt = (border: Tensor, begin: number, length: number): void => {
    const space: [number, number][] = [
      [0, 0],
      [begin, size - begin - length],
      [0, 0],
    ];
    dx = add(dx, pad(reverse(border, 1), space));
  };
  if (before > 0) addAt(part(0, before), skipped, before);
  if (after > 0) addAt(part(before + size, after), size - skipped - after, after);
  return reshape(dx, withSize(dy.shape, axis, size));
}

/** dx = the sum of all copies. */
export const tileGradient: Gradient = defineGradient<TileAttrs>(Tile, (dy, saved, { reps }) => {
  const { shape } = saved[0] as Tensor;
  return {
    x: () =>
      reps.reduce(
        (d, copies, axis) => {
          if (copies === 1) return d;
          const size = shape[axis] as number;
          const [outer, , inner] = aroundAxis(d.shape, axis);
          const folded = sum(reshape(d, [outer, copies, size * inner]), 1);
          return reshape(folded, withSize(d.shape, axis, size));
        },
        reshape(dy, dy.shape),
      ),
  };
});

/** dx = the slices of dy, stacked. */
export const unstackGradient: Gradient = defineGradient<UnpackAttrs, Tensor | Tensor[]>(
  Unpack,
  (dy, _, { axis }) => ({ value: () => stack(Array.isArray(dy) ? dy : [dy], axis) }),
);

/** dx = the parts of dy, side by side. */
export const splitGradient: Gradient = defineGradient<SplitVAttrs, Tensor | Tensor[]>(
  SplitV,
  (dy, _, { axis }) => ({ x: () => concat(Array.isArray(dy) ? dy : [dy], axis) }),
);

/** dx[indices] += dy, for every batch item on its own. */
export const gatherGradient: Gradient = defineGradient<GatherV2Attrs>(
  GatherV2,
  (dy, saved, { axis: given, batchDims }) => {
    const [x, indices] = saved as [Tensor, Tensor];
    const [axis] = util.parseAxisParam(given, x.shape) as [number];
    return {
      indices: () => zeros(indices.shape),
      x: () => {
        const first = batchDims < 0 ? batchDims + indices.rank : batchDims;
        const batch = util.sizeFromShape(x.shape.slice(0, first));
        const outer = util.sizeFromShape(x.shape.slice(first, axis));
        const [, size, inner] = aroundAxis(x.shape, axis);
        const perItem = indices.size / batch;
        const flat = reshape(dy, [batch, outer, perItem, inner]);
        const toFront = outer === 1 ? flat : transpose(flat, [0, 2, 1, 3]);
        const ids = reshape(indices, [batch, perItem]);
        const offsets = reshape(range(0, batch * size, size, 'int32'), [batch, 1]);
        const sums = unsortedSegmentSum(
          reshape(toFront, [batch * perItem, outer * inner]),
          reshape(batch === 1 ? ids : add(ids, offsets), [-1]) as never,
          batch * size,
        );
        if (outer === 1) return reshape(sums, x.shape);
        const back = transpose(reshape(sums, [batch, size, outer, inner]), [0, 2, 1, 3]);
        return reshape(back, x.shape);
      },
    };
  },
);

/** dParams[indices] += dy. */
export const gatherNdGradient: Gradient = defineGradient<object>(
  GatherNd,
  (dy, saved) => {
    const [params, indices] = saved as [Tensor, Tensor];
    return {
      params: () => scatterND(indices, dy, params.shape as never),
      indices: () => zeros(indices.shape),
    };
  },
  { inputsToSave: ['params', 'indices'] },
);

/** dUpdates = dy[indices]. */
export const scatterNdGradient: Gradient = defineGradient<object>(
  ScatterNd,
  (dy, saved) => {
    const indices = saved[0] as Tensor;
    return { updates: () => gatherND(dy, indices), indices: () => zeros(indices.shape) };
  },
  { inputsToSave: ['indices'] },
);
