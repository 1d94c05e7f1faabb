// From whole-number codes to the values that they stand for, and back to their form in the file.
import { type Encoding, hashedPlaces, sizeOf, type ValueCode } from '@thimble/base';
import { NO_AXIS, VALUES } from './format.ts';
import { type ByteReader, corrupt } from './reader.ts';

/** Values that codes stand for; floats and hashed weights have none. */
export type CodedValues = Exclude<ValueCode, { type: 'float' | 'hashed' }>;

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

/**
 * For every entry the number of the scale or codebook that it has: `repeat` entries in a row have the same,
 * and after `count` of them it begins anew. Undefined for groups, see {@link groupOf}.
 */
function sliceOf(shape: readonly number[], axis: number | null): { repeat: number; count: number } {
  if (axis === null) return { repeat: Math.max(1, sizeOf(shape)), count: 1 };
  const repeat = shape.slice(axis + 1).reduce((n, size) => n * size, 1);
  return { repeat, count: shape[axis]! };
}

/** The values of codes, as float32: what the network computes with. */
export function valuesOfCodes(
  codes: Int32Array,
  shape: readonly number[],
  values: CodedValues,
): Float32Array {
  const data = new Float32Array(codes.length);
  if (values.type === 'affine' && values.group !== undefined) {
    const { scale, axis, group } = values;
    const inner = shape.slice(axis! + 1).reduce((n, size) => n * size, 1);
    const along = shape[axis!]!;
    const perLine = Math.ceil(along / group);
    for (let i = 0; i < codes.length; i++) {
      const line = Math.floor(i / (along * inner));
      const place = Math.floor((Math.floor(i / inner) % along) / group);
      data[i] = scale[(line * perLine + place) * inner + (i % inner)]! * codes[i]!;
    }
    return data;
  }
  if (values.type === 'powersOfTwo') {
    const { top } = values;
    for (let i = 0; i < codes.length; i++) {
      const code = codes[i]!;
      data[i] = code === 0 ? 0 : Math.sign(code) * 2 ** (top + 1 - Math.abs(code));
    }
    return data;
  }
  const { repeat, count } = sliceOf(shape, values.axis ?? null);
  const table = values.type === 'codebook' ? tableOf(values.centroids, count) : undefined;
  const scale = values.type === 'codebook' ? undefined : values.scale;
  let i = 0;
  while (i < codes.length) {
    for (let slice = 0; slice < count; slice++) {
      const end = i + repeat;
      if (table) {
        const { lows, rows } = table;
        const [low, row] = [lows[slice]!, rows[slice]!];
        for (; i < end; i++) {
          const place = codes[i]! - low;
          if (place < 0 || place >= row.length) throw corrupt('a code is not in its codebook');
          data[i] = row[place]!;
        }
      } else {
        const step = scale!.length === 0 ? 1 : scale![scale!.length === 1 ? 0 : slice]!;
        for (; i < end; i++) data[i] = step * codes[i]!;
      }
    }
  }
  return data;
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

/** A float32 from the 16 bits of a half. */
export function halfToFloat(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 31;
  const fraction = half & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The encoding of values that were read; entries that are 0 are pruned where `masked`. */
export function encodingOf(
  shape: number[],
  values: ValueCode,
  data: Float32Array,
  masked: boolean,
): Encoding {
  let nonzero = 0;
  const mask = masked ? new Uint8Array(data.length) : undefined;
  const bits = rawBits(data);
  for (let i = 0; i < bits.length; i++) {
    if (bits[i]! << 1 === 0) continue;
    nonzero++;
    if (mask) mask[i] = 1;
  }
  return { shape, values, ...(mask ? { mask } : {}), nonzero };
}

/**
 * Floats as the whole numbers that their bits are: an engine that has just started, and still interprets, makes an
 * object of every float that it reads. All bits but the sign are 0 in a 0: `bits << 1 === 0`.
 */
export function rawBits({ buffer, byteOffset, length }: Float32Array): Int32Array {
  return new Int32Array(buffer, byteOffset, length);
}
