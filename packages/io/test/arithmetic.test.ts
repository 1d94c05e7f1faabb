// The arithmetic coder and its model against slow ones of another make.
import { Random } from '@thimble/base';
import { describe, expect, it } from 'vitest';
import { codeCodes } from '../src/arithmetic/code-model.ts';
import { ArithmeticEncoder, BitCounter, type BitSink } from '../src/arithmetic/encoder.ts';

interface Bit {
  /** The probability of a 1 times 65536. */
  one: number;
  bit: number;
}

function bits(count: number): Bit[] {
  const random = new Random(count);
  return Array.from({ length: count }, () => {
    const one = 1 + random.integer(random.integer(3) === 0 ? 130 : 65_535);
    return { one, bit: random.uniform() < one / 65_536 ? 1 : 0 };
  });
}

/** The interval that bits come to, in whole numbers of any length: nothing is ever shifted out. */
function interval(list: Bit[]): { low: bigint; high: bigint; bytes: number } {
  let [low, high, bytes] = [0n, 0xffffffffn, 4];
  for (const { one, bit } of list) {
    const split = low + (((high - low) * BigInt(one)) >> 16n);
    if (bit) high = split;
    else low = split + 1n;
    while (low >> 24n === high >> 24n || ((low ^ high) & 0xff000000n) === 0n) {
      if (((low ^ high) & 0xff000000n) !== 0n) break;
      [low, high, bytes] = [low << 8n, (high << 8n) | 255n, bytes + 1];
    }
  }
  return { low, high, bytes };
}

/** The bits back, from whole numbers of any length: what is left of the code when the bits before are taken off. */
function decoded(bytes: Uint8Array, list: Bit[]): number[] {
  let [low, high, code, at] = [0n, 0xffffffffn, 0n, 0];
  const next = () => BigInt(bytes[at++] ?? 0);
  for (let i = 0; i < 4; i++) code = (code << 8n) | next();
  return list.map(({ one }) => {
    const split = low + (((high - low) * BigInt(one)) >> 16n);
    const bit = code <= split ? 1 : 0;
    if (bit) high = split;
    else low = split + 1n;
    while (low >> 24n === high >> 24n) {
      [low, high, code] = [low, (high << 8n) | 255n, (code << 8n) | next()].map(
        (value, i) => (i === 0 ? value << 8n : value) & 0xffffffffn,
      ) as [bigint, bigint, bigint];
    }
    return bit;
  });
}

describe('coder', () => {
  it.each([0, 1, 2, 10, 1000, 20000])('%i bits lie in their interval and come back', (count) => {
    const list = bits(count);
    const encoder = new ArithmeticEncoder();
    for (const { one, bit } of list) encoder.bit(one, bit);
    const bytes = encoder.done();
    if (count <= 1000) {
      const { low, high, bytes: length } = interval(list);
      let value = 0n;
      for (let i = 0; i < length; i++) value = (value << 8n) | BigInt(bytes[i] ?? 0);
      expect(value >= low && value <= high).toBe(true);
      expect(bytes.length).toBeLessThanOrEqual(length);
    }
    expect(decoded(bytes, list)).toEqual(list.map(({ bit }) => bit));
  });

  it('takes what information theory says, and no more than two bytes beside it', () => {
    const list = bits(20000);
    const encoder = new ArithmeticEncoder();
    const counter = new BitCounter();
    let ideal = 0;
    for (const { one, bit } of list) {
      encoder.bit(one, bit);
      counter.bit(one, bit);
      ideal -= Math.log2((bit ? one : 65_536 - one) / 65_536);
    }
    expect(counter.bits).toBeCloseTo(ideal, 6);
    const taken = 8 * encoder.done().length;
    expect(taken).toBeGreaterThan(ideal - 8);
    expect(taken).toBeLessThan(1.0005 * ideal + 16);
  });
});

/** A context's probability by going through all bits that it has seen. */
function replay(seen: number[]): number {
  return seen.reduce((one, bit, n) => one + (bit - one) * Math.max(1 / (n + 1.6), 1 / 256), 0.5);
}

class Contexts {
  readonly seen = new Map<string, number[]>();
  of(name: string): number[] {
    const found = this.seen.get(name) ?? [];
    this.seen.set(name, found);
    return found;
  }
}

/** The bits of a weight's codes and their probabilities, as the docstring of codeCodes says it; probabilities in
 * floating point. */
function reference(codes: number[][], lag: number): Bit[] {
  const made: Bit[] = [];
  const contexts = new Contexts();
  const weights = [0.35, 0.35, 0.35];
  const ends = [0.005, 0.008, 0.0125, 0.02, 0.03125, 0.05, 0.08, 0.125, 0.2, 0.3125, 0.5];
  const density = (count: number, of: number) =>
    ends.filter((end) => count + 0.4 >= end * (of + 2)).length;
  const at = (row: number, column: number) => codes[row]?.[column] ?? 0;
  const kept = (row: number, column: number) => (at(row, column) === 0 ? 0 : 1);
  const countIn = (row: number, columns: number) =>
    codes[row]!.slice(0, columns).filter((code) => code !== 0).length;
  const alone = (name: string, bit: number) => {
    const seen = contexts.of(name);
    made.push({ one: 65_536 * replay(seen), bit });
    seen.push(bit);
  };
  for (const [row, line] of codes.entries()) {
    const empty = (r: number) => (codes[r] ? Number(codes[r]!.every((each) => each === 0)) : 2);
    const whole = (r: number) =>
      empty(r) === 0 ? density(countIn(r, line.length), line.length) : 0;
    const rowsNear = [empty(row - 1), empty(row - lag), lag > 1 ? empty(row - lag + 1) : 2];
    alone(`row ${rowsNear}`, empty(row));
    if (empty(row) === 1) continue;
    for (const [column, code] of line.entries()) {
      const near = [1, 2, lag, lag + 1, lag > 1 ? lag - 1 : 1e9].map((d) => kept(row - d, column));
      const rows = [density(countIn(row, column), column), whole(row - 1), whole(row - lag)];
      const names = [`near ${near}`, `rows ${rows}`, `column ${column}`];
      const stretched = names.map((name) => {
        const one = replay(contexts.of(name));
        return Math.log(one / (1 - one));
      });
      const sum = stretched.reduce((total, s, k) => total + s * weights[k]!, 0);
      const one = 1 / (1 + Math.exp(-sum));
      const bit = code === 0 ? 0 : 1;
      made.push({ one: 65_536 * one, bit });
      stretched.forEach((s, k) => {
        // 2^-14 in units of 10 / 2048; of zeros every fourth counts for four.
        const times = bit === 1 ? 1 : column % 4 === 3 ? 4 : 0;
        weights[k]! += times * 0.0125 * (bit - one) * s;
        contexts.of(names[k]!).push(bit);
      });
      if (code === 0) continue;
      const [left, up] = [at(row, column - 1), at(row - 1, column)];
      alone(`sign ${Math.sign(left)} ${Math.sign(up)}`, code < 0 ? 1 : 0);
      const level = Math.min(2, Math.max(Math.abs(left), Math.abs(up)));
      const size = Math.abs(code);
      const binary = size.toString(2);
      for (let k = 0; k < binary.length; k++) {
        alone(`length ${k} ${level}`, k + 1 < binary.length ? 1 : 0);
      }
      for (let k = 1; k < binary.length; k++) {
        const before = Number.parseInt(binary.slice(0, k), 2);
        if (before < 32) alone(`leading ${binary.length} ${before}`, Number(binary[k]));
        else made.push({ one: 32_768, bit: Number(binary[k]) });
      }
    }
  }
  return made;
}

describe('model', () => {
  const random = new Random(5, 'model');
  const cases: [string, number, number, number, () => number][] = [
    ['sparse', 40, 30, 7, () => (random.uniform() < 0.06 ? random.integer(9) - 4 : 0)],
    ['dense', 12, 9, 1, () => Math.round(60 * random.normal())],
    ['signs', 8, 16, 3, () => (random.integer(2) ? 1 : -1)],
  ];
  it.each(cases)(
    '%s codes are binarised and predicted as described',
    (_, rows, columns, lag, code) => {
      const table = Array.from({ length: rows }, () => Array.from({ length: columns }, code));
      const made: Bit[] = [];
      const recorder: BitSink = { bit: (one, bit) => void made.push({ one, bit }) };
      const flat = Int32Array.from(table.flat());
      codeCodes(recorder, flat, { rows, columns, lag });
      expect(Array.from(flat)).toEqual(table.flat().map((each) => each + 0));
      const wanted = reference(table, lag);
      expect(made.map(({ bit }) => bit)).toEqual(wanted.map(({ bit }) => bit));
      // Tables of 4096 steps in place of logarithms: nearly the same probabilities.
      const cost = (list: Bit[]) =>
        list.reduce((sum, { one, bit }) => sum - Math.log2((bit ? one : 65_536 - one) / 65_536), 0);
      expect(Math.abs(cost(made) / cost(wanted) - 1)).toBeLessThan(0.01);
      for (const [i, { one }] of made.entries()) {
        expect(Math.abs(one - wanted[i]!.one)).toBeLessThan(0.02 * 65_536);
      }
    },
  );

  it('gains on the entropy of the codes where rows are alike', () => {
    // Rows 28 apart keep the same columns: a picture's weights.
    const keep = Array.from({ length: 28 }, () => random.permutation(60).slice(0, 3));
    const table = Array.from({ length: 280 }, (_, row) =>
      Array.from({ length: 60 }, (_, column) => (keep[row % 28]!.includes(column) ? 1 : 0)),
    );
    const cost = (lag: number) => {
      const counter = new BitCounter();
      codeCodes(counter, Int32Array.from(table.flat()), { rows: 280, columns: 60, lag });
      return counter.bits;
    };
    const entropy = 280 * 60 * (-0.05 * Math.log2(0.05) - 0.95 * Math.log2(0.95));
    expect(cost(28)).toBeLessThan(0.5 * entropy);
    expect(cost(1)).toBeLessThan(1.05 * entropy);
  });
});
