// The compiled functions that read files, against plain loops. What needs an encoder (arithmetic and Huffman codes)
// is tested where the encoder is, in @thimble/io.
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { plain } from '#decoding-wasm';
import { type DecodingKernels, decodingKernels } from '../src/decoding.ts';

const memory = new WebAssembly.Memory({ initial: 4 });
const kernels: DecodingKernels = decodingKernels(memory);
const [A, B, C] = [1024, 65_536, 131_072];
const words = (at: number, count: number) => new Int32Array(memory.buffer, at, count);
const floats = (at: number, count: number) => new Float32Array(memory.buffer, at, count);
const put = (at: number, values: ArrayLike<number>) => words(at, values.length).set(values);
const putBytes = (at: number, values: ArrayLike<number>) =>
  new Uint8Array(memory.buffer, at, values.length).set(values);
const seeds = { seed: 20, numRuns: 60 };
const list = (most: number, least = 0) =>
  fc.array(fc.integer({ min: least, max: most }), { maxLength: 200 });

test('every function is named in the README; the module imports a memory and nothing else', () => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8');
  const module = new WebAssembly.Module(Buffer.from(plain, 'base64'));
  for (const { name, kind } of WebAssembly.Module.exports(module)) {
    expect(kind).toBe('function');
    expect(readme).toContain(`\`${name}\``);
  }
  expect(WebAssembly.Module.imports(module).map(({ name }) => name)).toEqual(['memory']);
  expect(plain.length).toBeLessThan(4 * 4096);
});

test('squash and stretch are inverse', () => {
  kernels.prepare(A);
  const squash = new Uint16Array(memory.buffer, A, 4096);
  const stretch = new Int16Array(memory.buffer, A + 8192, 4096);
  for (let s = -1500; s <= 1500; s += 50) {
    const p = 1 / (1 + Math.exp((-10 * s) / 2048));
    expect(Math.abs(squash[s + 2048]! / 65_536 - p)).toBeLessThan(2 / 65_536);
    const cell = Math.floor(p * 4096);
    const middle = (cell + 0.5) / 4096;
    const wanted = (Math.log(middle / (1 - middle)) * 2048) / 10;
    expect(Math.abs(stretch[cell]! - wanted)).toBeLessThan(2);
  }
});

describe('numbers of some bits', () => {
  test('come back, plus the lowest', () => {
    const cases = fc.tuple(fc.integer({ min: 0, max: 32 }), list(2 ** 31 - 1), fc.integer());
    fc.assert(
      fc.property(cases, ([width, raw, low]) => {
        const values = raw.map((value) => value % 2 ** width);
        const text = values.map((value) => value.toString(2).padStart(width, '0')).join('');
        const bits = width === 0 ? '' : text;
        const bytes = (bits.match(/.{1,8}/g) ?? []).map((part) => parseInt(part.padEnd(8, '0'), 2));
        putBytes(A, bytes);
        const symbols = Math.min(2 ** width, 2 ** 31);
        expect(kernels.packedSymbols(A, width, B, values.length, low, symbols)).toBe(1);
        expect([...words(B, values.length)]).toEqual(values.map((value) => (value + low) | 0));
        const most = Math.max(0, ...values);
        if (values.length === 0) return;
        expect(kernels.packedSymbols(A, width, B, values.length, low, most)).toBe(0);
      }),
      seeds,
    );
  });
});

describe('places', () => {
  const kept = fc.array(fc.boolean(), { minLength: 1, maxLength: 240 });
  const placesOf = (flags: boolean[]) => flags.flatMap((flag, i) => (flag ? [i] : []));

  test('of gaps, in the order of the entries and output by output', () => {
    fc.assert(
      fc.property(kept, fc.integer({ min: 1, max: 5 }), (flags, outputs) => {
        const inputs = Math.ceil(flags.length / outputs);
        const size = inputs * outputs;
        const places = placesOf(flags);
        const gaps = places.map((place, i) => place - (places[i - 1] ?? -1) - 1);
        put(A, gaps);
        expect(kernels.gapPlaces(A, gaps.length, size, 0)).toBe(1);
        expect([...words(A, gaps.length)]).toEqual(places);
        put(A, gaps);
        expect(kernels.gapPlaces(A, gaps.length, size, outputs)).toBe(1);
        const moved = places.map((n) => (n % inputs) * outputs + Math.floor(n / inputs));
        expect([...words(A, gaps.length)]).toEqual(moved);
        put(A, gaps);
        const last = places.at(-1);
        if (last !== undefined) expect(kernels.gapPlaces(A, gaps.length, last, 0)).toBe(0);
      }),
      seeds,
    );
  });

  test('of bits and of words', () => {
    fc.assert(
      fc.property(kept, (flags) => {
        const bytes = new Uint8Array(Math.ceil(flags.length / 8));
        for (const place of placesOf(flags)) bytes[place >> 3]! |= 1 << (place & 7);
        putBytes(A, bytes);
        const count = placesOf(flags).length;
        expect(kernels.bitPlaces(A, flags.length, B)).toBe(count);
        expect([...words(B, count)]).toEqual(placesOf(flags));
        put(
          A,
          flags.map((flag) => (flag ? -7 : 0)),
        );
        expect(kernels.keptPlaces(A, flags.length, B)).toBe(count);
        expect([...words(B, count)]).toEqual(placesOf(flags));
      }),
      seeds,
    );
  });

  test('of runs along an axis, and of some of each run', () => {
    const small = fc.integer({ min: 1, max: 7 });
    fc.assert(
      fc.property(small, small, small, small, small, (outer, along, stride, length, some) => {
        // Runs in the order of the entries: line, run, place across.
        const runs: number[][] = [];
        for (let line = 0; line < outer; line++) {
          for (let start = 0; start < along; start += length) {
            for (let s = 0; s < stride; s++) {
              const size = Math.min(length, along - start);
              runs.push(
                Array.from({ length: size }, (_, k) => (line * along + start + k) * stride + s),
              );
            }
          }
        }
        const bytes = new Uint8Array(Math.ceil(runs.length / 8));
        const chosen = runs.filter((_, i) => i % 3 !== 1);
        for (const [i] of runs.entries()) if (i % 3 !== 1) bytes[i >> 3]! |= 1 << (i & 7);
        putBytes(A, bytes);
        expect(kernels.blockPlaces(A, B, outer, along, stride, length)).toBe(chosen.flat().length);
        expect([...words(B, chosen.flat().length)]).toEqual(chosen.flat());
        const within = runs.map((run) => run.slice(0, some).map((_, k) => run.length - 1 - k));
        put(A, within.flat());
        expect(kernels.runPlaces(A, outer, along, stride, length, some)).toBe(1);
        const wanted = runs.flatMap((run, i) => within[i]!.map((k) => run[k]!));
        expect([...words(A, wanted.length)]).toEqual(wanted);
        put(A, [...within.flat().slice(0, -1), length]);
        expect(kernels.runPlaces(A, outer, along, stride, length, some)).toBe(0);
      }),
      seeds,
    );
  });

  test('take what belongs there', () => {
    put(A, [3, 0, 2]);
    put(B, [7, 8, 9]);
    put(C, [1, 1, 1, 1]);
    kernels.scatter(A, B, 3, C);
    expect([...words(C, 4)]).toEqual([8, 1, 9, 7]);
  });
});

describe('values', () => {
  const codes = list(300, -300);
  const scale = fc.float({ noNaN: true, min: Math.fround(1e-3), max: 1e3 });

  test('scales of slices and of groups', () => {
    const shape = fc.tuple(...Array.from({ length: 4 }, () => fc.integer({ min: 1, max: 5 })));
    fc.assert(
      fc.property(shape, fc.array(scale, { minLength: 130, maxLength: 130 }), (sizes, scales) => {
        const [outer, along, inner, group] = sizes as [number, number, number, number];
        const size = outer * along * inner;
        const made = Array.from({ length: size }, (_, i) => ((i * 7919) % 255) - 127);
        put(A, made);
        floats(B, scales.length).set(scales);
        kernels.scaled(A, size, B, along, inner);
        const sliced = made.map((code, i) =>
          Math.fround(code * scales[Math.floor(i / inner) % along]!),
        );
        expect([...floats(A, size)]).toEqual(sliced);
        put(A, made);
        kernels.groupScaled(A, size, B, along, inner, group);
        const perLine = Math.ceil(along / group);
        const grouped = made.map((code, i) => {
          const line = Math.floor(i / (along * inner));
          const place = Math.floor((Math.floor(i / inner) % along) / group);
          return Math.fround(code * scales[(line * perLine + place) * inner + (i % inner)]!);
        });
        expect([...floats(A, size)]).toEqual(grouped);
      }),
      seeds,
    );
  });

  test('tables', () => {
    put(A, [-1, 0, 1, 2, 1, 0, -1, 0]);
    floats(B, 6).set([-0.5, 0, 0.25, 0, 4, 8]);
    put(C, [-1, 3, B, 0, 3, B + 12]);
    put(A, [-1, 0, 2, 1, 1, 0, 0, 2]);
    expect(kernels.lookedUp(A, 8, C, 2, 2)).toBe(1);
    expect([...floats(A, 8)]).toEqual([-0.5, 0, 8, 4, 0.25, 0, 0, 8]);
    for (const wrong of [-2, 2, -(2 ** 31), 2 ** 31 - 1]) {
      put(A, [wrong]);
      expect(kernels.lookedUp(A, 1, C, 1, 1)).toBe(0);
    }
  });

  test('powers of two', () => {
    fc.assert(
      fc.property(codes, fc.integer({ min: -1200, max: 1200 }), (made, top) => {
        put(A, made);
        kernels.powers(A, made.length, top);
        const wanted = made.map((code) =>
          Math.fround(code === 0 ? 0 : Math.sign(code) * 2 ** (top + 1 - Math.abs(code))),
        );
        expect([...floats(A, made.length)]).toEqual(wanted);
      }),
      seeds,
    );
  });

  test('halves', () => {
    for (let half = 0; half < 65_536; half++) {
      putBytes(A, [half & 255, half >> 8]);
      kernels.halves(A, 1, B);
      const [exponent, fraction] = [(half >> 10) & 31, half & 1023];
      const size =
        exponent === 0
          ? fraction * 2 ** -24
          : exponent === 31
            ? fraction
              ? Number.NaN
              : Number.POSITIVE_INFINITY
            : (1 + fraction / 1024) * 2 ** (exponent - 15);
      if (!Object.is(floats(B, 1)[0], half & 0x8000 ? -size : size)) {
        throw new Error(`half ${half}: ${floats(B, 1)[0]}`);
      }
    }
  });

  test('are counted where they are not 0', () => {
    const made = [0, -0, 1, Number.NaN, 1e-45, 0, -3];
    floats(A, 7).set(made);
    expect(kernels.countKept(A, 7, B)).toBe(4);
    expect([...new Uint8Array(memory.buffer, B, 7)]).toEqual([0, 0, 1, 1, 1, 0, 1]);
    putBytes(B, [9]);
    expect(kernels.countKept(A, 7, 0)).toBe(4);
    expect(new Uint8Array(memory.buffer, B, 1)[0]).toBe(9);
  });
});
