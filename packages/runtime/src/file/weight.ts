// Reads one weight of a .thimble file:
//
//   kind of value (VALUES, + MASKED), rank, sizes as varints, the value code (value-code.ts)
//   storage byte: layout * 4 + entropy; not for hashed weights
//   where the kept entries are (places.ts), then what they are (readCodes or floats)
import { sizeOf, type ValueCode } from '@thimble/base';
import type { GraphWeight } from '@thimble/graph';
import { arithmeticCodes } from './arithmetic.ts';
import { ENTROPY, LAYOUT_STEP, LAYOUTS, MASKED } from './format.ts';
import { type Places, readPlaces } from './places.ts';
import { type ByteReader, corrupt } from './reader.ts';
import { type CodeBytes, type KeptValues, StoredWeight } from './stored-weight.ts';
import { readHuffmanBytes, readSymbols } from './symbols.ts';
import { readValueCode } from './value-code.ts';
import { hashedValues, toValues } from './values.ts';
import type { Address, Workspace } from './workspace.ts';

const MOST_AXES = 8;
/** Zeros that are searched for one by one. */
const FEW = 32;
/** Codes of a byte that may be missing: each is searched for. */
const MOST_MISSING = 4;
const SMALLEST = 2 ** -100;
const LARGEST = 2 ** 100;

/** Counts down what may still be decoded. */
export interface Budget {
  values: number;
}

/**
 * Reads a weight into memory of its own.
 *
 * @param work holds the file that `reader` reads
 */
export function readWeight(reader: ByteReader, budget: Budget, work: Workspace): GraphWeight {
  const { mark } = work;
  const masked = (reader.bytes[reader.at] ?? 0) & MASKED;
  const stored = storeWeight(reader, budget, work);
  const { encoding } = stored;
  const size = sizeOf(encoding.shape);
  const at = stored.place();
  const mask = masked ? work.take(size) : 0;
  if (mask) work.kernels.countKept(at, size, mask);
  const data = work.floats(at, size);
  const kept = mask ? { mask: work.bytes(mask, size).slice() } : {};
  work.rewind(mark);
  return { encoding: { ...encoding, ...kept }, data };
}

/** Reads a weight and leaves it in the workspace. */
export function storeWeight(reader: ByteReader, budget: Budget, work: Workspace): StoredWeight {
  const kind = reader.byte();
  const shape = readShape(reader, budget);
  const values = readValueCode(reader, kind & ~MASKED, shape);
  const { mark } = work;
  const size = sizeOf(shape);
  const codes = values.type === 'affine' ? readCodeBytes(reader, values, size, work) : undefined;
  if (codes) {
    const zeros = work.kernels.countBytes(codes.at, size, -codes.low);
    return new StoredWeight({ shape, values, nonzero: size - zeros }, { codes }, work);
  }
  const found =
    values.type === 'hashed'
      ? work.put(hashedValues(values, size))
      : readValues(reader, shape, values, work);
  if (typeof found !== 'number') {
    const nonzero = work.kernels.countKept(found.kept, found.count, 0);
    return new StoredWeight({ shape, values, nonzero }, { entries: found }, work);
  }
  const at = work.keep(mark, found, 4 * size);
  const nonzero = countNonzero(work, at, size);
  return new StoredWeight({ shape, values, nonzero }, { at }, work);
}

/** The codes where a byte holds each, and where they and the values tell each other; else nothing, and nothing is read. */
function readCodeBytes(
  reader: ByteReader,
  { bits, scale, group }: Extract<ValueCode, { type: 'affine' }>,
  size: number,
  work: Workspace,
): CodeBytes | undefined {
  const start = reader.at;
  const entropy = reader.byte() - LAYOUTS.dense * LAYOUT_STEP;
  const known = entropy === ENTROPY.none || entropy === ENTROPY.huffman;
  if (known && bits > 4 && bits <= 8 && group === undefined && scale.every(isUsual)) {
    const low = reader.signed('the lowest code');
    const symbols = reader.varint('the number of codes', 2 ** 31);
    const most = low + symbols - 1;
    if (low >= -128 && low <= 0 && most >= 0 && most <= 127) {
      if (entropy === ENTROPY.huffman) {
        return { at: readHuffmanBytes(reader, work, symbols, size), size, low, most };
      }
      if (256 - symbols <= MOST_MISSING) {
        return { at: readWholeBytes(reader, work, symbols, size), size, low, most };
      }
    }
  }
  reader.at = start;
  return undefined;
}

/** Where codes of 8 bits from 0 to `symbols` - 1 are in the file. */
function readWholeBytes(
  reader: ByteReader,
  work: Workspace,
  symbols: number,
  size: number,
): Address {
  const { from, count } = reader.section('packed codes');
  if (size > count) throw corrupt('packed values are cut off');
  const bytes = work.bytes(work.file + from, size);
  for (let code = symbols; code < 256; code++) {
    if (bytes.includes(code)) throw corrupt('a code is out of range');
  }
  return work.file + from;
}

/** Whether a scale makes of no code of a byte a 0 or an infinite number. */
function isUsual(scale: number): boolean {
  return scale > SMALLEST && scale < LARGEST;
}

/** How many floats are not 0. */
function countNonzero(work: Workspace, at: Address, size: number): number {
  // A search is faster than a kernel that an engine has just met, where there is little to be found.
  const floats = work.reals(at, size);
  let place = floats.indexOf(0);
  for (let zeros = 0; zeros < FEW; zeros++) {
    if (place < 0) return size - zeros;
    place = floats.indexOf(0, place + 1);
  }
  return work.kernels.countKept(at, size, 0);
}

function readShape(reader: ByteReader, budget: Budget): number[] {
  const rank = reader.byte();
  if (rank > MOST_AXES) throw corrupt(`a weight has ${rank} axes`);
  const shape = Array.from({ length: rank }, () => reader.varint('a size', 2 ** 31));
  // Through zeros, so that the sizes beside them are bounded too.
  const room = shape.reduce((n, size) => n * Math.max(1, size), 1);
  if (room > budget.values) {
    throw corrupt(
      `a weight of shape [${shape}] is more than such a file may hold; if you trust it, allow more by maxBytes`,
    );
  }
  budget.values -= room;
  return shape;
}

type Values = Exclude<ReturnType<typeof readValueCode>, { type: 'hashed' }>;

/** Where the values of all entries are, as float32; or of those that are kept. */
function readValues(
  reader: ByteReader,
  shape: number[],
  values: Values,
  work: Workspace,
): Address | KeptValues {
  const storage = reader.byte();
  const layout = Math.floor(storage / LAYOUT_STEP);
  const entropy = storage % LAYOUT_STEP;
  if (entropy > ENTROPY.huffman) throw corrupt(`there is no entropy code ${entropy}`);
  if (values.type === 'float') {
    return readFloats(reader, shape, values.bits, layout, entropy, work);
  }
  const codes = readCodes(reader, shape, layout, entropy, work);
  toValues(work, codes, shape, values);
  return codes;
}

/** The codes of all entries; 0 for those that are not kept. */
function readCodes(
  reader: ByteReader,
  shape: number[],
  layout: number,
  entropy: number,
  work: Workspace,
): Address {
  if (layout === LAYOUTS.arithmetic) return arithmeticCodes(reader, shape, work);
  const places = readPlaces(reader, shape, layout, entropy, work);
  const low = reader.signed('the lowest code');
  const symbols = reader.varint('the number of codes', 2 ** 31);
  const size = sizeOf(shape);
  const found = readSymbols(reader, work, symbols, places?.count ?? size, entropy, low);
  if (!places) return found;
  const codes = work.zeros(4 * size);
  work.kernels.scatter(places.at, found, places.count, codes);
  return codes;
}

function readFloats(
  reader: ByteReader,
  shape: number[],
  bits: 32 | 16,
  layout: number,
  entropy: number,
  work: Workspace,
): Address | KeptValues {
  const size = sizeOf(shape);
  const { kernels } = work;
  let places: Places | undefined;
  if (layout === LAYOUTS.arithmetic) {
    const kept = arithmeticCodes(reader, shape, work);
    const at = work.take(4 * size);
    places = { at, count: kernels.keptPlaces(kept, size, at), ascending: false };
  } else {
    places = readPlaces(reader, shape, layout, entropy, work);
  }
  const count = places?.count ?? size;
  let floats = work.file + reader.skip((count * bits) / 8, 'values');
  if (bits === 16) {
    const made = work.take(4 * count);
    kernels.halves(floats, count, made);
    floats = made;
  }
  if (!places) return bits === 16 ? floats : work.align(floats, 4 * size);
  if (places.ascending) return { places: places.at, kept: floats, count };
  const data = work.zeros(4 * size);
  kernels.scatter(places.at, floats, count, data);
  return data;
}
