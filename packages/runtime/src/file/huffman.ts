// Canonical Huffman codes, the reading half.
import { type ByteReader, corrupt } from './reader.ts';

/** Longest code. */
export const LONGEST: number = 14;
/** Most symbols of an alphabet. */
export const MOST_SYMBOLS: number = 4096;

/** Reads bits, the first in the highest place of each byte. Beyond the end there are zeros. */
export class BitReader {
  readonly #bytes: Uint8Array;
  #at = 0;
  #bits = 0;
  #have = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The next `count` bits, up to 16, without going on. */
  peek(count: number): number {
    while (this.#have < count) {
      this.#bits = ((this.#bits & 0xffff) << 8) | (this.#bytes[this.#at] ?? 0);
      this.#at++;
      this.#have += 8;
    }
    return (this.#bits >>> (this.#have - count)) & ((1 << count) - 1);
  }

  skip(count: number): void {
    this.#have -= count;
  }

  read(count: number): number {
    if (count > 16) return this.read(count - 16) * 65536 + this.read(16);
    const value = this.peek(count);
    this.#have -= count;
    return value;
  }

  /** @throws {FileFormatError} when more was read than there was. */
  check(): void {
    if (this.#at - (this.#have >> 3) > this.#bytes.length)
      throw corrupt('packed values are cut off');
  }
}

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

/** Reads one symbol. */
export function readSymbol(bits: BitReader, { longest, entries }: HuffmanTable): number {
  const entry = entries[bits.peek(longest)]!;
  bits.skip(entry & 15);
  return entry >> 4;
}
