// Granularity: which entries of a weight are pruned together.
import { OptionError, sizeOf, UnsupportedError } from '@thimble/base';
import type { Axes } from '@thimble/core';

/**
 * What is pruned as one:
 *
 * - `element`: every entry for itself
 * - `block`: neighbouring output units at one position and input: 2 for convolutions, 8 for dense layers
 *   (what packed kernels run fastest on), or `{ block: [2, 2] }`: a box along the last axes
 * - `kernel`: the spatial window between one input and one output channel
 * - `filter`, `neuron`: all that makes one output channel or unit (all gates of a recurrent unit)
 * - `channel`: all that reads one input channel
 * - `'2:4'`: of every 4 entries in a row along the input axis, at least 2 are kept (any n:m)
 */
export type Granularity =
  | 'element'
  | 'block'
  | 'kernel'
  | 'filter'
  | 'neuron'
  | 'channel'
  | `${number}:${number}`
  | { block: readonly number[] };

/** The units of one weight. */
export interface Units {
  /** Number of units. */
  count: number;
  /** The unit of every entry; undefined where every entry is a unit. */
  of: Int32Array | undefined;
  /** Entries in each unit. */
  sizes: Int32Array | undefined;
}

const CONV_BLOCK = 2;
const DENSE_BLOCK = 8;

/** `{ keep: 2, of: 4 }` for '2:4', else undefined. */
export function patternOf(granularity: Granularity): { keep: number; of: number } | undefined {
  if (typeof granularity !== 'string') return undefined;
  const found = /^(\d+):(\d+)$/.exec(granularity);
  return found ? { keep: Number(found[1]), of: Number(found[2]) } : undefined;
}

/** Throws an OptionError for what is no granularity. */
export function checkGranularity(owner: string, granularity: Granularity): void {
  const names = ['element', 'block', 'kernel', 'filter', 'neuron', 'channel'];
  const pattern = patternOf(granularity);
  const good =
    typeof granularity === 'string'
      ? names.includes(granularity) ||
        (pattern !== undefined && pattern.keep >= 1 && pattern.keep < pattern.of)
      : Array.isArray(granularity?.block) &&
        granularity.block.length > 0 &&
        granularity.block.every((size) => Number.isInteger(size) && size > 0);
  if (!good) {
    throw new OptionError(
      `${owner}: granularity must be one of ${names.join(', ')}, a pattern such as '2:4' (keep 2 of 4) ` +
        `or { block: [2, 2] }, not ${JSON.stringify(granularity)}.`,
    );
  }
}

/** True where a unit is a whole output channel or unit of the layer. */
export function removesOutputs(granularity: Granularity): boolean {
  return granularity === 'filter' || granularity === 'neuron';
}

/**
 * The units of a weight of this shape. For an n:m pattern the groups of m, padded at the end of the axis.
 *
 * @throws {UnsupportedError} where the weight has no such axis: a bias has no kernels.
 */
export function unitsOf(
  granularity: Granularity,
  shape: readonly number[],
  axes: Axes,
  name: string,
): Units {
  if (granularity === 'element') {
    return { count: sizeOf(shape), of: undefined, sizes: undefined };
  }
  const grid = gridOf(granularity, shape, axes, name);
  const counts = grid.map(({ size, step }) => Math.ceil(size / step));
  const strides = counts.map((_, axis) => sizeOf(counts.slice(axis + 1)));
  const of = new Int32Array(sizeOf(shape));
  fill(of, shape, grid, strides);
  const count = sizeOf(counts);
  const sizes = new Int32Array(count);
  for (let i = 0; i < of.length; i++) sizes[of[i]!]!++;
  return { count, of, sizes };
}

/**
 * Throws where a kernel of this shape has no such units.
 *
 * @throws {UnsupportedError}
 */
export function checkUnits(granularity: Granularity, shape: readonly number[], name: string): void {
  if (granularity === 'element') return;
  const rank = shape.length;
  const space = Array.from({ length: Math.max(0, rank - 2) }, (_, axis) => axis);
  gridOf(granularity, shape, { in: rank - 2, out: rank - 1, space, gates: 1 }, name);
}

/** How the indices of one axis fall into units: `index % modulo`, then `step` in a row together. */
interface Cell {
  size: number;
  modulo: number;
  step: number;
}

function gridOf(
  granularity: Exclude<Granularity, 'element'>,
  shape: readonly number[],
  axes: Axes,
  name: string,
): Cell[] {
  const apart = (size: number): Cell => ({ size, modulo: size, step: 1 });
  const together = (size: number): Cell => ({ size, modulo: size, step: size });
  const need = (axis: number, what: string) => {
    if (axis < 0 || shape.length < 2) {
      throw new UnsupportedError(
        `The weight ${name} of shape [${shape}] has no ${what}; prune it with granularity 'element'.`,
      );
    }
    return axis;
  };
  const pattern = patternOf(granularity);
  if (pattern) {
    const along = need(axes.in, 'input axis to group along');
    return shape.map((size, axis) =>
      axis === along ? { size, modulo: size, step: pattern.of } : apart(size),
    );
  }
  if (typeof granularity === 'object') {
    const { block } = granularity;
    if (block.length > shape.length) {
      throw new UnsupportedError(
        `The weight ${name} of shape [${shape}] has fewer axes than the block [${block}].`,
      );
    }
    const lead = shape.length - block.length;
    return shape.map((size, axis) => ({ size, modulo: size, step: block[axis - lead] ?? 1 }));
  }
  switch (granularity) {
    case 'block': {
      const along = need(axes.out, 'output axis');
      const step = axes.space.length > 0 ? CONV_BLOCK : DENSE_BLOCK;
      return shape.map((size, axis) =>
        axis === along ? { size, modulo: size, step } : apart(size),
      );
    }
    case 'kernel':
      need(axes.space.length > 0 ? axes.in : -1, 'spatial window');
      return shape.map((size, axis) => (axes.space.includes(axis) ? together(size) : apart(size)));
    case 'channel': {
      const along = need(axes.in, 'input channels');
      return shape.map((size, axis) => (axis === along ? apart(size) : together(size)));
    }
    default: {
      const along = need(axes.out, 'output channels');
      const size = shape[along]! / axes.gates;
      return shape.map((all, axis) =>
        axis === along ? { size, modulo: size, step: 1 } : together(all),
      );
    }
  }
}

/** Writes the unit of every entry, row by row. */
function fill(of: Int32Array, shape: readonly number[], grid: Cell[], strides: number[]): void {
  const rank = shape.length;
  const tables = shape.map((size, axis) => {
    const { modulo, step } = grid[axis]!;
    return Int32Array.from(
      { length: size },
      (_, i) => Math.floor((i % modulo) / step) * strides[axis]!,
    );
  });
  const inner = tables[rank - 1]!;
  const index = new Int32Array(rank);
  for (let start = 0; start < of.length; start += inner.length) {
    let base = 0;
    for (let axis = 0; axis < rank - 1; axis++) base += tables[axis]![index[axis]!]!;
    for (let i = 0; i < inner.length; i++) of[start + i] = base + inner[i]!;
    for (let axis = rank - 2; axis >= 0; axis--) {
      if (++index[axis]! < shape[axis]!) break;
      index[axis] = 0;
    }
  }
}
