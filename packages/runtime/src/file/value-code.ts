// How the values of a weight are coded, as a file says it.
import { sizeOf, type ValueCode } from '@thimble/base';
import { NO_AXIS, VALUES } from './format.ts';
import { type ByteReader, corrupt } from './reader.ts';

const MOST_SHARED = 2 ** 24;
const MOST_BITS = 32;
const SHARED_ZERO_POINT = 8;

/** Reads how the values of a weight are coded. */
export function readValueCode(reader: ByteReader, kind: number, shape: number[]): ValueCode {
  switch (kind) {
    case VALUES.float32:
      return { type: 'float', bits: 32 };
    case VALUES.float16:
      return { type: 'float', bits: 16 };
    case VALUES.affine:
      return readAffine(reader, shape);
    case VALUES.codebook: {
      const bits = bitsOf(reader, 16);
      const axis = readAxis(reader, shape);
      const count = reader.varint('the size of a codebook', MOST_SHARED);
      const slices = axis === null ? 1 : shape[axis]!;
      if (count === 0 || count % slices !== 0) throw corrupt('a codebook has no values');
      const centroids = reader.floats(count, 'a codebook');
      return { type: 'codebook', bits, centroids, axis };
    }
    case VALUES.powersOfTwo: {
      const bits = bitsOf(reader, 16);
      const top = reader.signed('an exponent');
      if (Math.abs(top) > 1200) throw corrupt('an exponent is out of range');
      return { type: 'powersOfTwo', bits, top };
    }
    case VALUES.hashed: {
      const count = reader.varint('the number of real weights', MOST_SHARED);
      if (count === 0) throw corrupt('a hashed weight has no real weights');
      const seed = reader.varint('a seed', 2 ** 32 - 1);
      return { type: 'hashed', bits: 0, weights: reader.floats(count, 'real weights'), seed };
    }
    case VALUES.binary: {
      const axis = readAxis(reader, shape);
      const count = reader.varint('the number of scales', MOST_SHARED);
      if (count > 1 && count !== (axis === null ? 1 : shape[axis])) {
        throw corrupt('scales do not fit their axis');
      }
      return { type: 'binary', bits: 1, scale: reader.floats(count, 'scales'), axis };
    }
    default:
      throw corrupt(`there is no value code ${kind}`);
  }
}

function bitsOf(reader: ByteReader, most: number): number {
  const bits = reader.byte();
  if (bits < 1 || bits > most) throw corrupt(`values cannot have ${bits} bits`);
  return bits;
}

function readAxis(reader: ByteReader, shape: number[]): number | null {
  const axis = reader.byte();
  if (axis === NO_AXIS) return null;
  if (axis >= shape.length) throw corrupt(`there is no axis ${axis}`);
  return axis;
}

function readAffine(reader: ByteReader, shape: number[]): ValueCode {
  const bits = bitsOf(reader, MOST_BITS);
  const axis = readAxis(reader, shape);
  const group = reader.varint('the size of groups', MOST_SHARED);
  if (group > 0 && axis === null) throw corrupt('groups have no axis');
  const count = scalesOf(shape, axis, group);
  const scale = reader.floats(count, 'scales');
  const zeroPoint = new Int32Array(count);
  if (reader.byte() === SHARED_ZERO_POINT) zeroPoint.fill(reader.signed('a zero point'));
  else for (let i = 0; i < count; i++) zeroPoint[i] = reader.signed('a zero point');
  const code = { type: 'affine', bits, scale, zeroPoint, axis } as const;
  return group > 0 ? { ...code, group } : code;
}

/** How many scales an affine code has. */
export function scalesOf(shape: readonly number[], axis: number | null, group: number = 0): number {
  if (axis === null) return 1;
  if (group === 0) return shape[axis]!;
  return (sizeOf(shape) / Math.max(1, shape[axis]!)) * Math.ceil(shape[axis]! / group);
}
