// Canonical Huffman codes, the reading half.
import { type ByteReader, corrupt } from './reader.ts';

/** Longest code. */
export const LONGEST: number = 14;
/** Most symbols of an alphabet. */
export const MOST_SYMBOLS: number = 4096;

/** A canonical code as a table: for every run of `longest` bits the symbol that begins it, and its length. */
export interface HuffmanTable {
  longest: number;
  /** `symbol * 16 + length` */
  entries: Uint16Array;
}

/** Reads the lengths of the codes of `symbols` symbols: nibbles; 15 and a nibble n: n + 3 zeros. */
export function readLengths(reader: ByteReader, symbols: number): Uint8Array {
  const lengths = new Uint8Array(symbols);
  let half: number | undefined;
  const nibble = () => {
    if (half !== undefined) {
      const low = half;
      half = undefined;
      return low;
    }
    const byte = reader.byte();
    half = byte & 15;
    return byte >> 4;
  };
  for (let i = 0; i < symbols; ) {
    const length = nibble();
    if (length <= LONGEST) lengths[i++] = length;
    else i += nibble() + 3;
    if (i > symbols) throw corrupt('a Huffman code has too many symbols');
  }
  return lengths;
}

/** @throws {FileFormatError} for lengths that are no prefix code. */
export function huffmanTable(lengths: Uint8Array): HuffmanTable {
  const counts = new Int32Array(LONGEST + 1);
  for (const length of lengths) counts[length]!++;
  counts[0] = 0;
  let longest = LONGEST;
  while (longest > 0 && counts[longest] === 0) longest--;
  const next = new Int32Array(LONGEST + 2);
  for (let length = 1; length <= longest; length++) {
    next[length + 1] = (next[length]! + counts[length]!) * 2;
  }
  // One symbol alone has a code of length 1, which leaves half of the table empty.
  const full = next[longest + 1]! / 2;
  const alone = longest === 1 && counts[1] === 1;
  if (longest === 0 || (full !== 1 << longest && !alone)) {
    throw corrupt('a Huffman code is incomplete');
  }
  const entries = new Uint16Array(1 << longest);
  for (let symbol = 0; symbol < lengths.length; symbol++) {
    const length = lengths[symbol]!;
    if (length === 0) continue;
    const first = next[length]!++ << (longest - length);
    entries.fill(symbol * 16 + length, first, first + (1 << (longest - length)));
  }
  if (alone) entries.fill(entries[0]!);
  return { longest, entries };
}

/**
 * The next symbols of a Huffman code; the first bit is in the highest place of each byte.
 *
 * @throws {FileFormatError} where the bytes end too early.
 */
export function huffmanSymbols(
  bytes: Uint8Array,
  { longest, entries }: HuffmanTable,
  count: number,
): Int32Array {
  const symbols = new Int32Array(count);
  const mask = (1 << longest) - 1;
  let [bits, have, at] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    while (have < longest) {
      // Beyond the end there are zeros, of which no more than one look ahead may be used.
      bits = ((bits & 0xffff) << 8) | (at < bytes.length ? bytes[at]! : 0);
      at++;
      have += 8;
    }
    const entry = entries[(bits >>> (have - longest)) & mask]!;
    have -= entry & 15;
    symbols[i] = entry >> 4;
  }
  if (8 * at - have > 8 * bytes.length) throw corrupt('a Huffman code is cut off');
  return symbols;
}

/**
 * The next whole numbers of `width` bits, up to 31; the first bit is in the highest place of each byte.
 *
 * @throws {FileFormatError} where the bytes end too early.
 */
export function packedSymbols(bytes: Uint8Array, width: number, count: number): Int32Array {
  if (Math.ceil((width * count) / 8) > bytes.length) throw corrupt('packed values are cut off');
  if (width === 8) return Int32Array.from(bytes.subarray(0, count));
  const symbols = new Int32Array(count);
  let [have, at] = [0, 0];
  if (width <= 16) {
    let bits = 0;
    const mask = (1 << width) - 1;
    for (let i = 0; i < count; i++) {
      while (have < width) {
        bits = ((bits & 0xffff) << 8) | bytes[at++]!;
        have += 8;
      }
      have -= width;
      symbols[i] = (bits >>> have) & mask;
    }
    return symbols;
  }
  for (let i = 0, bit = 0; i < count; i++) {
    let value = 0;
    for (let k = 0; k < width; k++, bit++) {
      value = value * 2 + ((bytes[bit >> 3]! >> (7 - (bit & 7))) & 1);
    }
    symbols[i] = value;
  }
  return symbols;
}
