import { Random } from '@thimble/base';
import { ENTROPY, readSymbols, Workspace } from '@thimble/runtime/file';
import { describe, expect, it } from 'vitest';
import { ByteWriter } from '../src/byte-writer.ts';
import { canonicalCodes, codeLengths, writeHuffman, writeLengths } from '../src/huffman-code.ts';

/** Cost of the best prefix code without a bound: the two rarest joined over and over. */
function huffmanCost(counts: number[]): number {
  const heap = counts.filter((count) => count > 0);
  let cost = 0;
  while (heap.length > 1) {
    heap.sort((a, b) => b - a);
    const joined = heap.pop()! + heap.pop()!;
    cost += joined;
    heap.push(joined);
  }
  return cost;
}

const costOf = (counts: number[]) => {
  const lengths = codeLengths(counts);
  return counts.reduce((sum, count, i) => sum + count * lengths[i]!, 0);
};

describe('codeLengths', () => {
  it('costs what the best prefix code costs, within one bit of the entropy', () => {
    const random = new Random(1);
    for (let run = 0; run < 50; run++) {
      const counts = Array.from({ length: 2 + random.integer(30) }, () => random.integer(50));
      counts[0] = counts[1] = 9;
      const total = counts.reduce((sum, count) => sum + count, 0);
      const entropy = counts.reduce(
        (sum, count) => sum - (count > 0 ? count * Math.log2(count / total) : 0),
        0,
      );
      expect(costOf(counts)).toBe(huffmanCost(counts));
      expect(costOf(counts)).toBeGreaterThanOrEqual(entropy);
      expect(costOf(counts)).toBeLessThan(entropy + total);
    }
  });

  it('keeps to 14 bits where counts grow like Fibonacci numbers', () => {
    const counts = [1, 1];
    while (counts.length < 25) counts.push(counts.at(-1)! + counts.at(-2)!);
    const lengths = codeLengths(counts);
    expect(Math.max(...lengths)).toBe(14);
    expect(lengths.reduce((sum, length) => sum + 2 ** -length, 0)).toBe(1);
    expect(costOf(counts)).toBeGreaterThan(huffmanCost(counts));
  });

  it('is canonical: the example of RFC 1951, section 3.2.2', () => {
    const codes = canonicalCodes(Uint8Array.of(3, 3, 3, 3, 3, 2, 4, 4));
    expect(Array.from(codes)).toEqual([0b010, 0b011, 0b100, 0b101, 0b110, 0b00, 0b1110, 0b1111]);
  });
});

function symbolsOf(bytes: Uint8Array, symbols: number, count: number, low: number): Int32Array {
  return Workspace.use((work) => {
    const at = readSymbols(work.open(bytes), work, symbols, count, ENTROPY.huffman, low);
    return work.words(at, count).slice();
  });
}

it.each([1, 2, 3, 64, 300, 4096])('%i symbols come back', (symbols) => {
  const random = new Random(symbols);
  const values = Int32Array.from({ length: 5000 }, () =>
    Math.min(symbols - 1, Math.floor(Math.abs(random.normal()) * symbols * 0.3)),
  );
  const writer = new ByteWriter();
  writeHuffman(writer, values, symbols);
  const bytes = writer.done();
  expect(symbolsOf(bytes, symbols, values.length, 0)).toEqual(values);
  expect(symbolsOf(bytes, symbols, values.length, -7)).toEqual(values.map((value) => value - 7));
  // More than there are: up to seven zeros that fill the last byte may pass for some.
  expect(() => symbolsOf(bytes, symbols, values.length + 9, 0)).toThrow('cut off');
});

it.each([[[1, 1, 1]], [[2, 2, 2]], [[0, 0]]])('lengths %j are no code', (lengths) => {
  const writer = new ByteWriter();
  writeLengths(writer, Uint8Array.from(lengths));
  writer.section(Uint8Array.of(0));
  expect(() => symbolsOf(writer.done(), lengths.length, 1, 0)).toThrow('Huffman');
});
