// Parts of stored weights.
import { countNonzero, type Encoding, ShapeError, sizeOf, type ValueCode } from '@thimble/base';
import type { GraphWeight } from '../graph.ts';

/** The entries of a weight at some indices of an axis, in that order; an index may be there more than once. */
export function entriesAt(
  { data, encoding }: GraphWeight,
  axis: number,
  indices: readonly number[],
): GraphWeight {
  const { mask, values, nonzero } = encoding;
  const shape = encoding.shape.map((size, i) => (i === axis ? indices.length : size));
  const inner = sizeOf(shape.slice(axis + 1));
  const outer = sizeOf(shape.slice(0, axis));
  const before = encoding.shape[axis]! * inner;
  const pick = <T extends Float32Array | Uint8Array>(from: T, to: T): T => {
    let at = 0;
    for (let i = 0; i < outer; i++) {
      for (const index of indices) {
        const start = i * before + index * inner;
        to.set(from.subarray(start, start + inner), at);
        at += inner;
      }
    }
    return to;
  };
  const size = sizeOf(shape);
  const picked = data && pick(data, new Float32Array(size));
  return {
    encoding: {
      shape,
      values: valuesAt(values, axis, indices),
      nonzero: picked ? countNonzero(picked) : Math.min(nonzero, size),
      ...(mask ? { mask: pick(mask, new Uint8Array(size)) } : {}),
    },
    ...(picked ? { data: picked } : {}),
  };
}

/**
 * The first entries along every axis.
 *
 * @throws {ShapeError} where the weight has fewer.
 */
export function firstEntries(weight: GraphWeight, shape: readonly number[]): GraphWeight {
  const whole = weight.encoding.shape;
  if (!shape.every((size, axis) => Number.isInteger(size) && size > 0 && size <= whole[axis]!)) {
    throw new ShapeError(`A weight of shape [${whole}] has no part of shape [${shape}].`);
  }
  return shape.reduce(
    (part, size, axis) =>
      size === part.encoding.shape[axis]
        ? part
        : entriesAt(
            part,
            axis,
            Array.from({ length: size }, (_, i) => i),
          ),
    weight,
  );
}

/** Values that are no codes. */
export const FLOATS: ValueCode = { type: 'float', bits: 32 };

/** How the picked entries are coded: tables along the axis are picked too. */
function valuesAt(values: ValueCode, axis: number, indices: readonly number[]): Encoding['values'] {
  if (values.type === 'hashed' || ('group' in values && values.group !== undefined)) return FLOATS;
  if (!('axis' in values) || values.axis !== axis) return values;
  switch (values.type) {
    case 'affine': {
      const { scale, zeroPoint } = values;
      const zeros = Int32Array.from(indices, (i) => zeroPoint[i]!);
      return { ...values, scale: scaleAt(scale, indices), zeroPoint: zeros };
    }
    case 'binary':
      return { ...values, scale: scaleAt(values.scale, indices) };
    case 'codebook':
      return FLOATS;
  }
}

function scaleAt(scale: Float32Array, indices: readonly number[]): Float32Array {
  return scale.length > 1 ? Float32Array.from(indices, (i) => scale[i]!) : scale;
}
