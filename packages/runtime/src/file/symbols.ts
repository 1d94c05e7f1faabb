// Whole numbers as canonical Huffman codes, or in as many bits as they need.
import { DECODING_BYTES } from '@thimble/kernels/decoding';
import { ENTROPY } from './format.ts';
import { type ByteReader, corrupt } from './reader.ts';
import type { Address, Workspace } from './workspace.ts';

/** Longest Huffman code. */
export const LONGEST: number = 14;
/** Most symbols of a Huffman code. */
export const MOST_SYMBOLS: number = 4096;

/** `count` symbols from 0 to `symbols` - 1, plus `low`. */
export function readSymbols(
  reader: ByteReader,
  work: Workspace,
  symbols: number,
  count: number,
  entropy: number,
  low: number,
): Address {
  if (symbols === 0) throw corrupt('a weight has no codes');
  const { kernels, file } = work;
  const found = work.take(4 * count);
  if (entropy === ENTROPY.huffman) {
    readHuffman(reader, work, symbols, found, count, low, false);
    return found;
  }
  const width = symbols === 1 ? 0 : 32 - Math.clz32(symbols - 1);
  const { from, count: bytes } = reader.section('packed codes');
  if (Math.ceil((width * count) / 8) > bytes) throw corrupt('packed values are cut off');
  if (!kernels.packedSymbols(file + from, width, found, count, low, symbols)) {
    throw corrupt('a code is out of range');
  }
  return found;
}

/** `count` symbols from 0 to `symbols` - 1, at most 256, a byte each. */
export function readHuffmanBytes(
  reader: ByteReader,
  work: Workspace,
  symbols: number,
  count: number,
): Address {
  const found = work.take(count);
  readHuffman(reader, work, symbols, found, count, 0, true);
  return found;
}

function readHuffman(
  reader: ByteReader,
  work: Workspace,
  symbols: number,
  out: Address,
  count: number,
  low: number,
  narrow: boolean,
): void {
  if (symbols > MOST_SYMBOLS) throw corrupt(`a Huffman code has ${symbols} symbols`);
  const { kernels, file, mark } = work;
  const lengths = work.put(readLengths(reader, symbols));
  const table = work.take(DECODING_BYTES.huffman);
  const longest = kernels.huffmanTable(lengths, symbols, table, work.take(DECODING_BYTES.counts));
  if (longest === 0) throw corrupt('a Huffman code is incomplete');
  const { from, count: bytes } = reader.section('a Huffman code');
  const places = [file + from, file + from + bytes, table] as const;
  if (!kernels.huffmanSymbols(...places, longest, out, count, low, Number(narrow))) {
    throw corrupt('a Huffman code is cut off');
  }
  work.rewind(mark);
}

/** Reads the lengths of the codes of `symbols` symbols: nibbles; 15 and a nibble n: n + 3 zeros. */
function readLengths(reader: ByteReader, symbols: number): Uint8Array {
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
