// Canonical Huffman codes, the writing half.
import { LONGEST } from '@thimble/runtime/file';
import { BitWriter, type ByteWriter } from './byte-writer.ts';

/**
 * The lengths of a Huffman code for symbols that occur so often, none above 14: package-merge
 * (Larmore and Hirschberg, 1990), optimal under that bound. Symbols that do not occur have length 0; one
 * alone has length 1.
 */
export function codeLengths(counts: ArrayLike<number>): Uint8Array {
  const lengths = new Uint8Array(counts.length);
  const used = Array.from(counts, (count, symbol) => ({ count, symbols: [symbol] }))
    .filter(({ count }) => count > 0)
    .sort((a, b) => a.count - b.count || a.symbols[0]! - b.symbols[0]!);
  if (used.length === 1) lengths[used[0]!.symbols[0]!] = 1;
  if (used.length < 2) return lengths;
  let packages: typeof used = [];
  for (let level = 0; level < LONGEST; level++) {
    const merged = [...used, ...packages].sort((a, b) => a.count - b.count);
    packages = [];
    for (let i = 0; i + 1 < merged.length; i += 2) {
      const [a, b] = [merged[i]!, merged[i + 1]!];
      packages.push({ count: a.count + b.count, symbols: [...a.symbols, ...b.symbols] });
    }
  }
  for (const { symbols } of packages.slice(0, used.length - 1)) {
    for (const symbol of symbols) lengths[symbol]!++;
  }
  return lengths;
}

/** The canonical codes of these lengths: shorter ones first, then in the order of the symbols. */
export function canonicalCodes(lengths: Uint8Array): Uint16Array {
  const codes = new Uint16Array(lengths.length);
  let code = 0;
  for (let length = 1; length <= LONGEST; length++) {
    for (let symbol = 0; symbol < lengths.length; symbol++) {
      if (lengths[symbol] === length) codes[symbol] = code++;
    }
    code *= 2;
  }
  return codes;
}

/** Lengths as nibbles; runs of 3 to 18 zeros as 15 and their length less 3. */
export function writeLengths(writer: ByteWriter, lengths: Uint8Array): void {
  const bits = new BitWriter();
  for (let i = 0; i < lengths.length; ) {
    let zeros = 0;
    while (zeros < 18 && i + zeros < lengths.length && lengths[i + zeros] === 0) zeros++;
    if (zeros < 3) {
      bits.write(lengths[i++]!, 4);
      continue;
    }
    bits.write(15, 4);
    bits.write(zeros - 3, 4);
    i += zeros;
  }
  writer.append(bits.done());
}

/** A Huffman code of whole numbers below `symbols`: its lengths, then the bits with their byte count. */
export function writeHuffman(writer: ByteWriter, values: Int32Array, symbols: number): void {
  const counts = new Uint32Array(symbols);
  for (let i = 0; i < values.length; i++) counts[values[i]!]!++;
  const lengths = codeLengths(counts);
  const codes = canonicalCodes(lengths);
  writeLengths(writer, lengths);
  const bits = new BitWriter();
  for (let i = 0; i < values.length; i++) bits.write(codes[values[i]!]!, lengths[values[i]!]!);
  writer.section(bits.done());
}
