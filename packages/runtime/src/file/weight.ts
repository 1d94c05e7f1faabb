// Reads one weight of a .thimble file:
//
//   kind of value (VALUES, + MASKED), rank, sizes as varints, the value code (values.ts)
//   storage byte: layout * 4 + entropy; not for hashed weights
//   where the kept entries are (readPlaces), then what they are (readCodes or floats)
import { sizeOf } from '@thimble/base';
import type { GraphWeight } from '@thimble/graph';
import { ArithmeticDecoder } from './arithmetic-decoder.ts';
import { codeCodes } from './code-model.ts';
import { BY_OUTPUTS, ENTROPY, LAYOUT_STEP, LAYOUTS, MASKED } from './format.ts';
import { placesByOutputs, runsAlong } from './groups.ts';
import {
  huffmanSymbols,
  huffmanTable,
  MOST_SYMBOLS,
  packedSymbols,
  readLengths,
} from './huffman.ts';
import { type ByteReader, corrupt, floatsOf } from './reader.ts';
import {
  type CodedValues,
  encodingOf,
  halfToFloat,
  hashedValues,
  readValueCode,
  valuesOfCodes,
} from './values.ts';

const MOST_AXES = 8;
const MOST_GAP_BITS = 8;
const MOST_RUN = 256;
const MOST_LAG = 2 ** 20;

/** Counts down what may still be decoded. */
export interface Budget {
  values: number;
}

export function readWeight(reader: ByteReader, budget: Budget): GraphWeight {
  const kind = reader.byte();
  const masked = (kind & MASKED) !== 0;
  const shape = readShape(reader, budget);
  const size = sizeOf(shape);
  const values = readValueCode(reader, kind & ~MASKED, shape);
  if (values.type === 'hashed') {
    const data = hashedValues(values, size);
    return { encoding: encodingOf(shape, values, data, masked), data };
  }
  const storage = reader.byte();
  const layout = Math.floor(storage / LAYOUT_STEP);
  const entropy = storage % LAYOUT_STEP;
  if (entropy > ENTROPY.huffman) throw corrupt(`there is no entropy code ${entropy}`);
  const data =
    values.type === 'float'
      ? readFloats(reader, shape, values.bits, layout, entropy)
      : valuesOfCodes(readCodes(reader, shape, layout, entropy), shape, values as CodedValues);
  return { encoding: encodingOf(shape, values, data, masked), data };
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

/** Bytes with their count in front. */
function section(reader: ByteReader, what: string): Uint8Array {
  return reader.take(reader.varint(what), what);
}

/** The codes of all entries; 0 for those that are not kept. */
function readCodes(
  reader: ByteReader,
  shape: number[],
  layout: number,
  entropy: number,
): Int32Array {
  const codes = new Int32Array(sizeOf(shape));
  if (layout === LAYOUTS.arithmetic) {
    arithmetic(reader, codes, shape);
    return codes;
  }
  const places = readPlaces(reader, shape, layout, entropy);
  const low = reader.signed('the lowest code');
  const symbols = reader.varint('the number of codes', 2 ** 31);
  const found = readSymbols(reader, symbols, places?.length ?? codes.length, entropy);
  if (places) for (let i = 0; i < places.length; i++) codes[places[i]!] = low + found[i]!;
  else for (let i = 0; i < codes.length; i++) codes[i] = low + found[i]!;
  return codes;
}

function arithmetic(reader: ByteReader, codes: Int32Array, shape: number[]): void {
  const columns = shape.at(-1) ?? 1;
  const rows = columns === 0 ? 0 : codes.length / columns;
  const lag = reader.varint('the distance of rows', MOST_LAG);
  if (lag < 1) throw corrupt('rows have no distance');
  const coder = new ArithmeticDecoder(section(reader, 'an arithmetic code'));
  codeCodes(coder, codes, { rows, columns, lag });
}

/** `count` symbols from 0 to `symbols` - 1: as a Huffman code, or in as many bits as they need. */
function readSymbols(
  reader: ByteReader,
  symbols: number,
  count: number,
  entropy: number,
): Int32Array {
  if (symbols === 0) throw corrupt('a weight has no codes');
  if (entropy === ENTROPY.huffman) {
    if (symbols > MOST_SYMBOLS) throw corrupt(`a Huffman code has ${symbols} symbols`);
    const table = huffmanTable(readLengths(reader, symbols));
    return huffmanSymbols(section(reader, 'a Huffman code'), table, count);
  }
  const width = symbols === 1 ? 0 : 32 - Math.clz32(symbols - 1);
  const found = packedSymbols(section(reader, 'packed codes'), width, count);
  if (symbols !== 2 ** width) {
    for (let i = 0; i < count; i++) {
      if (found[i]! >= symbols) throw corrupt('a code is out of range');
    }
  }
  return found;
}

function readFloats(
  reader: ByteReader,
  shape: number[],
  bits: 32 | 16,
  layout: number,
  entropy: number,
): Float32Array {
  const size = sizeOf(shape);
  let places: Int32Array | undefined;
  if (layout === LAYOUTS.arithmetic) {
    const kept = new Int32Array(size);
    arithmetic(reader, kept, shape);
    places = kept.map((keep, i) => (keep ? i : -1)).filter((i) => i >= 0);
  } else {
    places = readPlaces(reader, shape, layout, entropy);
  }
  const count = places?.length ?? size;
  const raw = reader.take((count * bits) / 8, 'values');
  const floats = bits === 32 ? floatsOf(raw) : halves(raw);
  if (!places) return floats;
  const data = new Float32Array(size);
  for (let i = 0; i < count; i++) data[places[i]!] = floats[i]!;
  return data;
}

function halves(raw: Uint8Array): Float32Array {
  const floats = new Float32Array(raw.length / 2);
  for (let i = 0; i < floats.length; i++) {
    floats[i] = halfToFloat(raw[2 * i]! | (raw[2 * i + 1]! << 8));
  }
  return floats;
}

/** The places of the kept entries, fillers included; undefined when all are kept. */
function readPlaces(
  reader: ByteReader,
  shape: number[],
  layout: number,
  entropy: number,
): Int32Array | undefined {
  switch (layout) {
    case LAYOUTS.dense:
      return undefined;
    case LAYOUTS.gaps:
      return readGaps(reader, shape, entropy);
    case LAYOUTS.bitmap: {
      const size = sizeOf(shape);
      const set = bitSetter(reader, size);
      return collect(size, (add) => {
        for (let i = 0; i < size; i++) if (set(i)) add(i);
      });
    }
    case LAYOUTS.nm:
      return readNofM(reader, shape);
    case LAYOUTS.blocks:
      return readBlocks(reader, shape);
    default:
      throw corrupt(`there is no layout ${layout}`);
  }
}

/** Whole numbers below `most`, no more than there are places. */
function collect(most: number, fill: (add: (place: number) => void) => void): Int32Array {
  const places = new Int32Array(most);
  let count = 0;
  fill((place) => {
    if (count === most) throw corrupt('a weight has more values than entries');
    places[count++] = place;
  });
  return places.subarray(0, count);
}

function bitSetter(reader: ByteReader, count: number): (i: number) => boolean {
  const bytes = reader.take(Math.ceil(count / 8), 'a bitmap');
  return (i) => ((bytes[i >> 3]! >> (i & 7)) & 1) === 1;
}

function readGaps(reader: ByteReader, shape: number[], entropy: number): Int32Array {
  const size = sizeOf(shape);
  const byte = reader.byte();
  const bits = byte % BY_OUTPUTS;
  if (bits < 1 || bits > MOST_GAP_BITS) throw corrupt(`gaps cannot have ${bits} bits`);
  const count = reader.varint('the number of kept entries', size);
  const places = new Int32Array(count);
  if (count === 0) return places;
  const gaps = readSymbols(reader, 2 ** bits, count, entropy);
  let place = -1;
  for (let i = 0; i < count; i++) {
    place += gaps[i]! + 1;
    if (place >= size) throw corrupt('a kept entry lies outside its weight');
    places[i] = place;
  }
  return byte < BY_OUTPUTS ? places : placesByOutputs(places, size, shape.at(-1) ?? 1);
}

function readRuns(reader: ByteReader, shape: number[]) {
  const axis = reader.byte();
  const length = reader.varint('the length of runs', MOST_RUN);
  if (axis >= shape.length || length < 1) throw corrupt('runs have no axis');
  return { length, runs: runsAlong(shape, axis, length) };
}

function readNofM(reader: ByteReader, shape: number[]): Int32Array {
  const { length, runs } = readRuns(reader, shape);
  const kept = reader.varint('the number of kept entries', length);
  let count = 0;
  for (let run = 0; run < runs.count; run++) count += Math.min(kept, runs.size(run));
  const within = readSymbols(reader, length, count, ENTROPY.none);
  const places = new Int32Array(count);
  for (let run = 0, at = 0; run < runs.count; run++) {
    const [first, size] = [runs.first(run), runs.size(run)];
    for (let k = 0; k < Math.min(kept, size); k++, at++) {
      const place = within[at]!;
      if (place >= size) throw corrupt('a kept entry lies outside its run');
      places[at] = first + place * runs.stride;
    }
  }
  return places;
}

function readBlocks(reader: ByteReader, shape: number[]): Int32Array {
  const { runs } = readRuns(reader, shape);
  const set = bitSetter(reader, runs.count);
  return collect(sizeOf(shape), (add) => {
    for (let run = 0; run < runs.count; run++) {
      if (!set(run)) continue;
      for (let k = 0; k < runs.size(run); k++) add(runs.first(run) + k * runs.stride);
    }
  });
}
