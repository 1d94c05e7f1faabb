// From whole-number codes to the values that they stand for.
import { hashedPlaces, sizeOf, type ValueCode } from '@thimble/base';
import { corrupt } from './reader.ts';
import type { Address, Workspace } from './workspace.ts';

/** Values that codes stand for; floats and hashed weights have none. */
export type CodedValues = Exclude<ValueCode, { type: 'float' | 'hashed' }>;

/**
 * For every entry the number of the scale or codebook that it has: `repeat` entries in a row have the same,
 * and after `count` of them it begins anew. Not for groups.
 */
export function sliceOf(
  shape: readonly number[],
  axis: number | null,
): { repeat: number; count: number } {
  if (axis === null) return { repeat: Math.max(1, sizeOf(shape)), count: 1 };
  const repeat = shape.slice(axis + 1).reduce((n, size) => n * size, 1);
  return { repeat, count: shape[axis]! };
}

/** Puts the values of codes in their place, as float32: what the network computes with. */
export function toValues(
  work: Workspace,
  codes: Address,
  shape: readonly number[],
  values: CodedValues,
): void {
  const { kernels } = work;
  const size = sizeOf(shape);
  if (values.type === 'powersOfTwo') {
    kernels.powers(codes, size, values.top);
    return;
  }
  const { axis = null } = values;
  if (values.type === 'affine' && values.group !== undefined) {
    const inner = sizeOf(shape.slice(axis! + 1));
    kernels.groupScaled(codes, size, work.put(values.scale), shape[axis!]!, inner, values.group);
    return;
  }
  const { repeat, count } = sliceOf(shape, axis);
  if (values.type === 'codebook') {
    const { lows, rows } = tableOf(values.centroids, count);
    const words = rows.flatMap((row, slice) => [lows[slice]!, row.length, work.put(row)]);
    if (kernels.lookedUp(codes, size, work.put(Int32Array.from(words)), count, repeat)) return;
    throw corrupt('a code is not in its codebook');
  }
  const { scale } = values;
  if (scale.length === count) kernels.scaled(codes, size, work.put(scale), count, repeat);
  else kernels.scaled(codes, size, work.put(Float32Array.of(scale[0] ?? 1)), 1, size);
}

/**
 * Codebooks by code: centroids ascend; the code of a 0 is 0, below it -1, -2 ..., above it 1, 2 ... A
 * codebook without a 0 gets one, for entries that are pruned. `rows[slice][code - lows[slice]]` is a value.
 */
export function tableOf(
  centroids: Float32Array,
  slices: number,
): { lows: number[]; rows: Float32Array[] } {
  const size = centroids.length / slices;
  const lows: number[] = [];
  const rows: Float32Array[] = [];
  for (let slice = 0; slice < slices; slice++) {
    const own = centroids.subarray(slice * size, (slice + 1) * size);
    let negative = 0;
    while (negative < size && own[negative]! < 0) negative++;
    const zero = own[negative] === 0;
    const row = new Float32Array(zero ? size : size + 1);
    row.set(own.subarray(0, negative));
    row.set(own.subarray(zero ? negative + 1 : negative), negative + 1);
    lows.push(-negative);
    rows.push(row);
  }
  return { lows, rows };
}

/** The values of a hashed weight. */
export function hashedValues(
  { weights, seed }: Extract<ValueCode, { type: 'hashed' }>,
  size: number,
): Float32Array {
  const places = hashedPlaces(size, weights.length, seed);
  const data = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    const place = places[i]!;
    data[i] = place < weights.length ? weights[place]! : -weights[place - weights.length]!;
  }
  return data;
}
