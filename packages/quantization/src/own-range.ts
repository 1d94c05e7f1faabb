// Fake quantisation of a weight over its own range, in one kernel where the backend has it.
import * as tf from '@tensorflow/tfjs-core';
import { namedOp } from '@thimble/core';
import { codesOf, knowCodes, untracked } from './codes.ts';
import { type GridOptions, gridOver, snap } from './grid.ts';

/** How channels lie in a weight: `inner` values of each side by side. */
type Layout = { channels: number; inner: number };

/**
 * The weight snapped to the grid over its smallest and largest entry, of every slice along `axis` where there
 * is one: `snap` to `gridOver`, to the last bit. `dL/dw = dL/dw'` between the ends of the grid, else 0.
 */
export function snapToOwnRange(
  weight: tf.Tensor,
  axis: number | null,
  options: GridOptions,
): tf.Tensor {
  const { shape } = weight;
  const channels = axis === null ? 1 : shape[axis]!;
  const layout = {
    channels,
    inner: shape.slice(axis === null ? 0 : axis + 1).reduce((n, size) => n * size, 1),
  };
  const [values, grid] = untracked(() => quantized(weight, axis, layout, options));
  /** One row of the grid, in a shape that broadcasts against the weight. */
  const row = (of: tf.Tensor, i: number) => {
    const along = axis === null ? [] : shape.map((size, at) => (at === axis ? size : 1));
    return tf.reshape(tf.slice(of, [i, 0], [1, channels]), along);
  };
  const op = tf.customGrad((w, save) => {
    (save as tf.GradSaveFunc)([w as tf.Tensor, grid]);
    return {
      value: values,
      gradFunc: (dy: tf.Tensor, saved: tf.Tensor[]) => {
        const [x, grid] = saved as [tf.Tensor, tf.Tensor];
        return namedOp('ThimbleFakeQuantGrad', { dy, x, grid }, layout, () => {
          const end = (i: number) => tf.mul(row(grid, i), row(grid, 0));
          const inside = tf.logicalAnd(tf.greaterEqual(x, end(1)), tf.lessEqual(x, end(2)));
          return tf.where(inside, dy, tf.zerosLike(dy));
        });
      },
    };
  });
  const rounded = op(weight);
  knowCodes(rounded, () => {
    const [scale, low, high] = untracked(() => [0, 1, 2].map((i) => row(grid, i)));
    return {
      codes: codesOf(weight, { scale: scale!, low: low!, high: high! }),
      scale: scale!,
      axis,
      learned: false,
    };
  });
  return rounded;
}

/** The values, and the grid [3, channels]: scales, lowest and highest codes without the zero point. */
function quantized(
  x: tf.Tensor,
  axis: number | null,
  layout: Layout,
  options: GridOptions,
): [values: tf.Tensor, grid: tf.Tensor] {
  const { bits, symmetric = false, narrowRange = false } = options;
  const attrs = {
    ...layout,
    lowest: narrowRange ? 1 : 0,
    highest: 2 ** bits - 1,
    middle: 2 ** (bits - 1),
    symmetric,
  };
  return namedOp<tf.Tensor[]>('ThimbleFakeQuant', { x }, attrs, () => {
    const grid = gridOver(x, allBut(x.rank, axis), options);
    const { scale, zeroPoint, low, high } = grid;
    const rows = [scale, tf.sub(low, zeroPoint), tf.sub(high, zeroPoint)];
    return [snap(x, grid), tf.stack(rows.map((row) => tf.reshape(row, [layout.channels])))];
  }) as [tf.Tensor, tf.Tensor];
}

/** All axes but one. */
export function allBut(rank: number, axis: number | null): number[] {
  return Array.from({ length: rank }, (_, i) => i).filter((i) => i !== axis);
}
