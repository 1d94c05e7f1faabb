// The kernels of packed networks against plain loops in float64, with guards around every operand. Whole numbers
// as values make sums exact, so that results can be compared with equality.
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { plain, relaxed } from '#inference-wasm';
import {
  COMBINATIONS,
  CURVES,
  hasRelaxedSimd,
  type InferenceKernels,
  inferenceKernels,
  inferenceModule,
} from '../src/inference.ts';
import { decodeModule } from '../src/module.ts';
import {
  check,
  expectExact,
  expectWithin,
  input,
  integers,
  memory,
  output,
  random,
  reals,
  run,
  seeds,
} from './helpers.ts';

const BUILDS: { build: string; k: InferenceKernels }[] = [];
for (const relaxedSimd of hasRelaxedSimd() ? [false, true] : [false]) {
  const k = inferenceKernels(await inferenceModule({ relaxedSimd }), memory);
  BUILDS.push({ build: relaxedSimd ? 'relaxed' : 'plain', k });
}

const upTo = (max: number) => fc.integer({ min: 1, max });
const INFINITE = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY] as const;
const cut = (x: number, low: number, high: number) => Math.min(high, Math.max(low, x));
const words = (values: ArrayLike<number>) => new Float32Array(Uint32Array.from(values).buffer);
const wholes = (values: ArrayLike<number>) => Int32Array.from(values);
const asReals = (values: Int32Array) => new Float32Array(values.buffer);

/** Lists for streams with `group` outputs each, and what they mean: [delta, weights] per list. */
interface Lists {
  data: Float32Array;
  entries: { delta: number; weights: number[] }[][];
  scale: Float32Array;
  bias: Float32Array;
  whole: Int32Array;
}

function listsFor(
  group: number,
  outputs: number,
  most: number,
  reach: number,
  pairs: boolean,
  seed: number,
): Lists {
  const next = random(seed);
  const lists = Math.ceil(outputs / group);
  const [scale, bias] = [integers(lists * group, seed + 1), integers(lists * group, seed + 2)];
  const whole = wholes(integers(lists * group, seed + 3));
  const entries = Array.from({ length: lists }, () =>
    Array.from({ length: Math.floor(next() * (most + 1)) }, () => ({
      delta: 4 * Math.floor(next() * reach),
      weights: Array.from({ length: group * (pairs ? 2 : 1) }, () => Math.floor(next() * 9) - 4),
    })),
  );
  const parts: number[] = [];
  const bits = new Int32Array(1);
  const real = (value: number) => new Int32Array(Float32Array.of(value).buffer)[0]!;
  for (const [l, list] of entries.entries()) {
    parts.push(list.length * 4 * (1 + group));
    for (let j = 0; j < group; j++) {
      const o = l * group + j;
      parts.push(real(scale[o]!), real(bias[o]!), whole[o]!);
    }
    for (const { delta, weights } of list) {
      parts.push(delta);
      for (let j = 0; j < group; j++) {
        bits[0] = pairs
          ? (weights[2 * j]! & 0xffff) | (weights[2 * j + 1]! << 16)
          : real(weights[j]!);
        parts.push(bits[0]);
      }
    }
  }
  return { data: asReals(wholes(parts)), entries, scale, bias, whole };
}

const streams = fc.record({
  outputs: upTo(5),
  strips: upTo(5),
  entries: fc.integer({ min: 0, max: 9 }),
  low: fc.constantFrom(Number.NEGATIVE_INFINITY, 0),
  high: fc.constantFrom(Number.POSITIVE_INFINITY, 6),
  residual: fc.boolean(),
  next: fc.constantFrom('none', 'apart', 'halves'),
  seed: seeds,
});

/** x / step in float32, rounded to even and cut. */
function codeOf(x: number, step: number, low: number, high: number): number {
  const q = Math.fround(x / step);
  const half = Math.abs(q % 1) === 0.5;
  return cut(half ? 2 * Math.round(q / 2) : Math.round(q), low, high) + 0;
}

describe.each(BUILDS)('streams, $build', ({ k }) => {
  const kernels = [
    ['convPairs', 2, false],
    ['convPairsInt', 2, true],
    ['convSingles', 1, false],
    ['convSinglesInt', 1, true],
    ['convSeparate', 1, false],
    ['convSeparateInt', 1, true],
  ] as const;
  test.each(kernels)('%s equals the sums over its lists', (name, group, pairs) =>
    check(streams, 120, ({ outputs, strips, entries, low, high, residual, next, seed }) => {
      const separate = name.startsWith('convSeparate');
      const lists = listsFor(group, outputs, entries, 200, pairs, seed);
      const count = lists.entries.length;
      const pixels = 16 * strips;
      const step = pixels + 16;
      const x = pairs
        ? new Float32Array(Int16Array.from(integers(2 * (200 + pixels), seed)).buffer)
        : integers(200 + pixels, seed);
      const halves = new Int16Array(x.buffer);
      const added = integers(count * group * step, seed + 4);
      const operands = {
        x: input(x),
        lists: input(lists.data),
        added: input(added),
        steps: input(Float32Array.of(2)),
        next: input(
          Float32Array.of(3, -9, 70, asReals(Int32Array.of(Number(next === 'apart')))[0]!),
        ),
        y: output(count * group * step),
      };
      const coded = pairs && next !== 'none';
      const { y } = run(
        operands,
        (at) => {
          const stream = [at.x, at.lists, at.y, 4 * step, count, strips] as const;
          const ending = separate ? [low, high] : [residual ? at.added : 0, low, high];
          (k[name] as (...args: number[]) => void)(
            ...stream,
            ...ending,
            ...(pairs ? [at.steps, coded ? at.next : 0] : []),
          );
        },
        seed,
      );
      const expected = Float32Array.from(y);
      const numbers = new Int32Array(expected.buffer);
      for (let o = 0; o < count * group; o++) {
        for (let p = 0; p < pixels; p++) {
          let sum = pairs ? lists.whole[o]! : lists.bias[o]!;
          for (const { delta, weights } of lists.entries[Math.floor(o / group)]!) {
            const at = delta / 4 + p;
            const j = o % group;
            sum += pairs
              ? halves[2 * at]! * weights[2 * j]! + halves[2 * at + 1]! * weights[2 * j + 1]!
              : x[at]! * weights[j]!;
          }
          if (pairs) sum = 2 * lists.scale[o]! * sum + lists.bias[o]!;
          if (residual && !separate) sum += added[o * step + p]!;
          const value = cut(sum, low, high);
          const code = codeOf(value, 3, -9, 70);
          if (!coded) expected[o * step + p] = value;
          else if (next === 'apart') numbers[o * step + p] = code & 0xffff;
          else if (o % 2 === 0) numbers[(o >> 1) * step + p] = code & 0xffff;
          else numbers[(o >> 1) * step + p]! |= code << 16;
        }
      }
      if (coded) expect(new Int32Array(y.buffer, y.byteOffset, y.length)).toEqual(numbers);
      else expectExact(y as Float32Array, Array.from(expected));
    }),
  );
});

const products = fc.record({
  inputs: upTo(70),
  outputs: upTo(40),
  zeros: fc.constantFrom(0, 0.5, 1),
  relu: fc.boolean(),
  seed: seeds,
});

/** Panels of 16 outputs: a head of `head` words for each, then for each row the panel's 16 numbers. */
function panels(
  outputs: number,
  rows: number,
  value: (row: number, o: number) => number,
  bias: Float32Array,
) {
  const length = 16 * (1 + rows);
  const made = new Float32Array(Math.ceil(outputs / 16) * length);
  for (let o = 0; o < outputs; o++) {
    const at = Math.floor(o / 16) * length + (o % 16);
    made[at] = bias[o]!;
    for (let r = 0; r < rows; r++) made[at + 16 * (1 + r)] = value(r, o);
  }
  return made;
}

describe.each(BUILDS)('dense layers, $build', ({ k }) => {
  test.each([
    'gemv',
    'gemvSkip',
    'gemvSparse',
    'gemvList',
    'gemvInt',
    'gemvInt4',
    'gemvCodebook',
    'xnorGemv',
  ] as const)('%s equals the sums of products', (name) =>
    check(products, 80, ({ inputs, outputs, zeros, relu, seed }) => {
      const [low, high] = [relu ? 0 : INFINITE[0], INFINITE[1]];
      const next = random(seed + 9);
      const x = integers(inputs, seed).map((v) => (next() < zeros ? 0 : v));
      const w = integers(inputs * outputs, seed + 1).map((v) => (next() < zeros ? 0 : v));
      const bias = integers(outputs, seed + 2);
      const expected = Array.from(bias);
      const count = 16 * Math.ceil(outputs / 16);
      const cutAll = () => expected.map((v) => cut(v, low, high));
      const sums = () => {
        for (let i = 0; i < inputs; i++)
          for (let o = 0; o < outputs; o++) expected[o]! += x[i]! * w[i * outputs + o]!;
      };
      const finish = (y: Float32Array | Int32Array) =>
        expectExact(y.subarray(0, outputs) as Float32Array, cutAll());
      if (name === 'gemv' || name === 'gemvSkip') {
        sums();
        const more = name === 'gemv' ? 0 : 1;
        const packed = panels(
          outputs,
          inputs + more,
          (r, o) => (r < inputs ? w[r * outputs + o]! : 0),
          bias,
        );
        const { y } = run(
          { x: input(x), w: input(packed), y: output(count), list: output(2 * (inputs + 1)) },
          (at) =>
            name === 'gemv'
              ? k.gemv(at.x, at.w, at.y, inputs, count / 16, low, high)
              : k.gemvSkip(at.x, at.w, at.y, inputs, count / 16, low, high, at.list),
          seed,
        );
        finish(y);
      } else if (name === 'gemvSparse' || name === 'gemvList') {
        sums();
        const width = name === 'gemvSparse' ? 8 : 1;
        const parts: number[] = [];
        const real = (value: number) => new Uint32Array(Float32Array.of(value).buffer)[0]!;
        for (let o = 0; o < outputs; o += width) {
          const rows = Array.from({ length: inputs }, (_, i) => i).filter((i) =>
            Array.from({ length: width }, (_, j) => o + j).some(
              (j) => j < outputs && w[i * outputs + j] !== 0,
            ),
          );
          const groups = Math.ceil(rows.length / 4);
          parts.push(groups, ...(width === 8 ? [0, 0, 0] : []));
          for (let j = 0; j < width; j++) parts.push(real(bias[o + j] ?? 0));
          for (let g = 0; g < groups; g++) {
            const some = [0, 1, 2, 3].map((e) => rows[4 * g + e]);
            parts.push(...some.map((i) => 4 * (i ?? 0)));
            for (const i of some) {
              for (let j = 0; j < width; j++) {
                parts.push(real(i === undefined || o + j >= outputs ? 0 : w[i * outputs + o + j]!));
              }
            }
          }
        }
        const size = width * Math.ceil(outputs / width);
        const { y } = run(
          { x: input(x), w: input(words(parts)), y: output(size) },
          (at) =>
            width === 8
              ? k.gemvSparse(at.x, at.w, at.y, size / 8, low, high)
              : k.gemvList(at.x, at.w, at.y, outputs, low, high),
          seed,
        );
        finish(y);
      } else if (name === 'gemvCodebook') {
        const scale = integers(outputs, seed + 3);
        const values = [...new Set(w)];
        const table = new Uint8Array(64);
        for (const [number, value] of values.entries()) {
          new Uint8Array(Float32Array.of(value).buffer).forEach((byte, k) => {
            table[16 * k + number] = byte;
          });
        }
        const length = 128 + 16 * Math.ceil(inputs / 2);
        const bytes = new Uint8Array((count / 16) * length);
        const real = new Float32Array(bytes.buffer);
        for (let o = 0; o < outputs; o++) {
          const at = Math.floor(o / 16) * length;
          const lane = o % 16;
          [real[at / 4 + lane], real[at / 4 + 16 + lane]] = [scale[o]!, bias[o]!];
          let sum = 0;
          for (let i = 0; i < inputs; i++) {
            const value = w[i * outputs + o]!;
            bytes[at + 128 + 16 * (i >> 1) + lane]! |= values.indexOf(value) << (4 * (i & 1));
            sum += x[i]! * value;
          }
          expected[o] = scale[o]! * sum + bias[o]!;
        }
        const { y } = run(
          {
            x: input(x),
            w: input(real),
            table: input(new Float32Array(table.buffer)),
            y: output(count),
          },
          (at) => k.gemvCodebook(at.x, at.w, at.y, inputs, count / 16, low, high, at.table),
          seed,
        );
        finish(y);
      } else if (name === 'xnorGemv') {
        const size = integers(outputs, seed + 3);
        const count32 = Math.ceil(inputs / 32);
        const signs = new Uint32Array(count32);
        for (let i = 0; i < inputs; i++) if (x[i]! < 0) signs[i >> 5]! |= 1 << (i & 31);
        const packed = new Uint32Array((count / 16) * (32 + 16 * count32));
        const real = new Float32Array(packed.buffer);
        for (let o = 0; o < outputs; o++) {
          const at = Math.floor(o / 16) * (32 + 16 * count32) + (o % 16);
          real[at] = size[o]!;
          real[at + 16] = bias[o]!;
          let sum = 0;
          for (let i = 0; i < inputs; i++) {
            const negative = w[i * outputs + o]! < 0;
            if (negative) packed[at + 32 + 16 * (i >> 5)]! |= 1 << (i & 31);
            sum += x[i]! < 0 === negative ? 1 : -1;
          }
          expected[o] = size[o]! * sum + bias[o]!;
        }
        const { y } = run(
          { x: input(new Float32Array(signs.buffer)), w: input(real), y: output(count) },
          (at) => k.xnorGemv(at.x, at.w, at.y, count32, count / 16, low, high, inputs),
          seed,
        );
        finish(y);
      } else {
        const [scale, whole] = [integers(outputs, seed + 3), integers(outputs, seed + 4)];
        const pairs = Math.ceil(inputs / 2);
        const rows = name === 'gemvInt' ? 32 : 16;
        const length = 192 + pairs * rows;
        const bytes = new Uint8Array((count / 16) * length);
        if (name === 'gemvInt4') bytes.fill(0x88);
        const [real, integer] = [new Float32Array(bytes.buffer), new Int32Array(bytes.buffer)];
        for (let o = 0; o < outputs; o++) {
          const at = Math.floor(o / 16) * length;
          const lane = o % 16;
          [real[at / 4 + lane], real[at / 4 + 16 + lane], integer[at / 4 + 32 + lane]] = [
            scale[o]!,
            bias[o]!,
            whole[o]!,
          ];
          let sum = whole[o]!;
          for (let i = 0; i < inputs; i++) {
            const code = w[i * outputs + o]!;
            const row = at + 192 + (i >> 1) * rows;
            if (rows === 32) bytes[row + 2 * lane + (i & 1)] = code;
            else
              bytes[row + lane] =
                (bytes[row + lane]! & (i & 1 ? 0x0f : 0xf0)) | ((code + 8) << (4 * (i & 1)));
            sum += x[i]! * code;
          }
          expected[o] = 2 * scale[o]! * sum + bias[o]!;
        }
        const codes = new Int16Array(2 * pairs + 8);
        codes.set(x);
        const { y } = run(
          {
            x: input(new Float32Array(codes.buffer.slice(0, 4 * pairs))),
            w: input(real),
            y: output(count),
            steps: input(Float32Array.of(2)),
          },
          (at) => k[name](at.x, at.w, at.y, pairs, count / 16, low, high, at.steps),
          seed,
        );
        finish(y);
      }
    }),
  );
});

const planes = fc.record({
  channels: upTo(5),
  height: upTo(7),
  width: upTo(9),
  strides: fc.tuple(upTo(3), upTo(3)),
  top: fc.nat(2),
  left: fc.nat(2),
  seed: seeds,
});

describe.each(BUILDS)('layouts, $build', ({ k }) => {
  test('images become planes and come back', () =>
    check(planes, 80, ({ channels, height, width, seed }) => {
      const x = reals(height * width * channels, seed);
      const [pitch, step] = [width + 2, height * (width + 2) + 3];
      const { y, z } = run(
        { x: input(x), y: output(channels * step), z: output(x.length) },
        ({ x, y, z }) => {
          k.fromImage(x, y, 4 * step, 4 * pitch, channels, height, width);
          k.toImage(y, 4 * step, 4 * pitch, z, channels, height, width);
        },
        seed,
      );
      expectExact(z, x);
      expect(y[(channels - 1) * step + (height - 1) * pitch + width - 1]).toBe(x.at(-1));
    }));

  test('padPlanes pads and splits by phases', () =>
    check(planes, 120, ({ channels, height, width, strides: [sh, sw], top, left, seed }) => {
      const x = reals(channels * height * width, seed);
      const rows = Math.ceil((height + top + 1) / sh);
      const pitch = Math.ceil((width + left + 1) / sw);
      const step = 16 * Math.ceil((rows * pitch) / 16);
      const { y } = run(
        { x: input(x), y: output(channels * sh * sw * step) },
        (at) =>
          k.padPlanes(
            ...([
              at.x,
              4 * height * width,
              4 * width,
              at.y,
              4 * step,
              4 * pitch,
              channels,
            ] as const),
            ...([height, width, rows, sh, sw, top, left, 7] as const),
          ),
        seed,
      );
      const expected = new Float32Array(y.length).fill(7);
      for (let c = 0; c < channels; c++) {
        for (let h = 0; h < height; h++) {
          for (let w = 0; w < width; w++) {
            const [r, s] = [h + top, w + left];
            const plane = (c * sh + (r % sh)) * sw + (s % sw);
            expected[plane * step + Math.floor(r / sh) * pitch + Math.floor(s / sw)] =
              x[(c * height + h) * width + w]!;
          }
        }
      }
      expectExact(y, expected);
    }));

  test('gather takes values from anywhere, zeros where the offset is negative', () =>
    check(planes, 120, ({ channels, height, width, seed }) => {
      const [pitch, step] = [width + 2, height * (width + 2) + 3];
      const x = reals(50, seed);
      const next = random(seed + 1);
      const places = (length: number) =>
        Int32Array.from({ length }, () => (next() < 0.2 ? -1 : 4 * Math.floor(25 * next())));
      const [rows, columns] = [places(channels), places(height * width)];
      const before = new Float32Array(channels * step).fill(5);
      const { y } = run(
        {
          x: input(x),
          rows: input(rows),
          columns: input(columns),
          y: { values: before, written: true },
        },
        (at) =>
          k.gather(
            ...([at.x, at.rows, at.columns, at.y, 4 * step, 4 * pitch] as const),
            ...([channels, height, width] as const),
          ),
        seed,
      );
      const expected = new Float32Array(channels * step).fill(5);
      for (const [c, row] of rows.entries()) {
        for (const [p, column] of columns.entries()) {
          const at = c * step + Math.floor(p / width) * pitch + (p % width);
          expected[at] = row < 0 || column < 0 ? 0 : x[(row + column) / 4]!;
        }
      }
      expectExact(y, expected);
    }));

  test('seal writes zeros around the rows and nowhere else', () =>
    check(planes, 80, ({ channels, height, width, top: front, left: gap, seed }) => {
      const pitch = width + gap;
      const step = front + height * pitch + 5;
      const filled = new Float32Array(channels * step).fill(3);
      const { y } = run(
        { y: { values: filled, written: true } },
        (at) => k.seal(at.y + 4 * front, 4 * step, channels, front, height, width, pitch, 5),
        seed,
      );
      const expected = new Float32Array(filled.length);
      for (let c = 0; c < channels; c++) {
        for (let h = 0; h < height; h++)
          expected.fill(3, c * step + front + h * pitch, c * step + front + h * pitch + width);
      }
      expectExact(y, expected);
    }));

  test('the step of zeros is 1', () => {
    const operands = { x: input(new Float32Array(8)), steps: output(1) };
    const { steps } = run(operands, (at) => k.stepOf(at.x, 32, 32, 1, 1, 8, 10, at.steps), 0);
    expect(steps[0]).toBe(1);
  });

  test('codes are rounded to even, cut, and paired', () =>
    check(
      fc.tuple(planes, fc.constantFrom(1, 2, 0.75)),
      120,
      ([{ channels, height, width, seed }, size]) => {
        const pixels = 4 * height * width;
        const x = reals(channels * pixels + 4, seed).map((v) => Math.round(v * 40) / 4);
        x[seed % (channels * pixels)] = 100;
        const code = (v: number | undefined) => codeOf(v ?? 0, size, -4, 5);
        const pairs = Math.ceil(channels / 2);
        const { y, z, w, steps, v } = run(
          {
            x: input(x),
            y: output(pairs * pixels),
            z: output(channels * pixels),
            w: output(channels * pixels),
            steps: { values: Float32Array.of(size), written: true },
            v: output(8 * Math.ceil(width / 8)),
          },
          (at) => {
            k.codePlanes(at.x, 4 * pixels, at.y, 4 * pixels, channels, pixels, -4, 5, at.steps, 0);
            k.codePlanes(at.x, 4 * pixels, at.z, 4 * pixels, channels, pixels, -4, 5, at.steps, 1);
            k.pairNeighbours(at.z, at.w, channels * pixels);
            k.codeVector(at.x, at.v, width, -4, 5, at.steps);
            k.stepOf(at.x, 4 * pixels, 4 * width, channels, 4 * height, width, 10, at.steps);
          },
          0,
        );
        const halves = new Int16Array(y.buffer);
        const alone = new Int32Array(z.buffer);
        const neighbours = new Int16Array(w.buffer);
        const vector = new Int16Array(v.buffer);
        for (let p = 0; p < pixels; p++) {
          for (let c = 0; c < 2 * pairs; c++) {
            const expected = c < channels ? code(x[c * pixels + p]) : 0;
            expect(halves[2 * ((c >> 1) * pixels + p) + (c & 1)]).toBe(expected);
          }
        }
        for (let i = 0; i < channels * pixels; i++) {
          expect(alone[i]).toBe(code(x[i]) & 0xffff);
          expect(neighbours[2 * i]).toBe(code(x[i]));
          if (i + 1 < channels * pixels) expect(neighbours[2 * i + 1]).toBe(code(x[i + 1]));
        }
        for (let i = 0; i < width; i++) expect(vector[i]).toBe(code(x[i]));
        expect(steps[0]).toBe(16);
      },
    ));
});

const signs = fc.record({
  channels: upTo(4),
  height: upTo(7),
  width: upTo(40),
  strides: fc.oneof(fc.constant([1, 1]), fc.tuple(upTo(3), upTo(3))),
  top: fc.nat(2),
  left: fc.nat(2),
  right: fc.integer({ min: -1, max: 2 }),
  bottom: fc.integer({ min: -2, max: 2 }),
  more: fc.nat(2),
  /** Whether rows of x have the pitch of y, so that they are one run. */
  alike: fc.boolean(),
  seed: seeds,
});
const subsets = fc.record({
  size: fc.constantFrom(4, 6),
  groups: upTo(3),
  bytes: upTo(70),
  seed: seeds,
});
const walks = fc.record({
  size: fc.constantFrom(4, 6),
  outputs: upTo(4),
  strips: upTo(9),
  entries: fc.integer({ min: 0, max: 90 }),
  /** Share of the entries that are added. */
  added: fc.constantFrom(0, 0.5, 1),
  /** Whether all sums of subsets are as large as they can be. */
  largest: fc.boolean(),
  relu: fc.boolean(),
  seed: seeds,
});

const isNegative = (x: number, scale: number, shift: number) =>
  Math.fround(Math.fround(x * scale) + shift) < 0;
/** Bytes as an operand of floats, with zeros up to a multiple of 4. */
const bytes = (values: ArrayLike<number>) => {
  const padded = new Int8Array(4 * Math.ceil(values.length / 4));
  padded.set(values);
  return new Float32Array(padded.buffer);
};
/** The bytes of an output before a kernel writes to it. */
const untouched = (length: number) => new Int8Array(output(length).values.buffer);

describe.each(BUILDS)('binary layers, $build', ({ k }) => {
  test('signPlanes makes bytes of signs, pads and splits by phases', () =>
    check(signs, 200, (example) => {
      const { channels, height, width, top, left, right, bottom, more, alike, seed } = example;
      const [sh, sw] = example.strides as [number, number];
      // Rows and columns beyond these are left out.
      const rows = Math.max(1, Math.ceil((height + top + bottom) / sh));
      const pitch = Math.max(1, Math.ceil((width + left + right) / sw));
      const xPitch = alike ? Math.max(width, pitch) : width + 2;
      const x = integers(channels * height * xPitch, seed);
      const table = integers(2 * channels, seed + 1);
      const step = 16 * Math.ceil((rows * pitch) / 16) + 16;
      const count = (channels + more) * sh * sw;
      const { y } = run(
        { x: input(x), table: input(table), y: output((count * step) / 4) },
        (at) =>
          k.signPlanes(
            ...([at.x, 4 * height * xPitch, 4 * xPitch, at.y, step, pitch, channels] as const),
            ...([height, width, rows, sh, sw, top, left, at.table, more * sh * sw] as const),
          ),
        seed,
      );
      const expected = new Int8Array(count * step);
      for (let c = 0; c < channels; c++) {
        for (let h = 0; h < height; h++) {
          for (let w = 0; w < width; w++) {
            const [r, s] = [h + top, w + left];
            if (Math.floor(r / sh) >= rows || Math.floor(s / sw) >= pitch) continue;
            const plane = (c * sh + (r % sh)) * sw + (s % sw);
            const value = x[(c * height + h) * xPitch + w]!;
            expected[plane * step + Math.floor(r / sh) * pitch + Math.floor(s / sw)] = isNegative(
              value,
              table[2 * c]!,
              table[2 * c + 1]!,
            )
              ? -1
              : 1;
          }
        }
      }
      expect(new Int8Array(y.buffer)).toEqual(expected);
    }));

  test('subsetPlanes adds and subtracts in every way', () =>
    check(subsets, 80, ({ size, groups, bytes: length, seed }) => {
      const xStep = 4 * Math.ceil(length / 4) + 8;
      const next = random(seed);
      const x = Int8Array.from({ length: groups * size * xStep }, () => Math.floor(3 * next()) - 1);
      const patterns = 2 ** (size - 1);
      const [written, step] = [16 * Math.ceil(length / 16), 16 * Math.ceil(length / 16) + 16];
      const { y } = run(
        { x: input(bytes(x)), y: output((groups * patterns * step) / 4) },
        (at) => k.subsetPlanes(at.x, xStep, at.y, step, groups, size, length),
        seed,
      );
      const got = new Int8Array(y.buffer);
      const expected = untouched((groups * patterns * step) / 4);
      for (let group = 0; group < groups; group++) {
        for (let pattern = 0; pattern < patterns; pattern++) {
          const to = (group * patterns + pattern) * step;
          for (let i = 0; i < length; i++) {
            let sum = 0;
            for (let c = 0; c < size; c++) {
              const value = x[(group * size + c) * xStep + i]!;
              sum += c > 0 && (pattern >> (c - 1)) & 1 ? -value : value;
            }
            expected[to + i] = sum;
          }
          // What stands in the rest of the last vector is of no use to anyone.
          expected.set(got.subarray(to + length, to + written), to + length);
        }
      }
      expect(got).toEqual(expected);
    }));

  test('xnorPlanes adds and subtracts the planes of its lists', () =>
    check(walks, 120, ({ size, outputs, strips, entries, added, largest, relu, seed }) => {
      const [low, high] = [relu ? 0 : INFINITE[0], relu ? 6 : INFINITE[1]];
      const next = random(seed);
      const pixels = 16 * strips;
      const x = Int8Array.from({ length: 100 + pixels }, () =>
        largest ? size : Math.floor((2 * size + 1) * next()) - size,
      );
      const [scale, bias] = [integers(outputs, seed + 1), integers(outputs, seed + 2)];
      const lists = Array.from({ length: outputs }, () => {
        const deltas = Array.from({ length: Math.floor(next() * (entries + 1)) }, () =>
          Math.floor(next() * 101),
        );
        return { deltas, first: Math.round(added * deltas.length) };
      });
      const real = (value: number) => new Uint32Array(Float32Array.of(value).buffer)[0]!;
      const packed = lists.flatMap(({ deltas, first }, o) => [
        ...[4 * first, 4 * deltas.length, real(scale[o]!), real(bias[o]!)],
        ...deltas,
      ]);
      const step = pixels + 16;
      const { y } = run(
        { x: input(bytes(x)), lists: input(words(packed)), y: output(outputs * step) },
        (at) => {
          const chunk = Math.floor(127 / size);
          k.xnorPlanes(at.x, at.lists, at.y, 4 * step, outputs, strips, chunk, low, high);
        },
        seed,
      );
      const expected = Array.from(y);
      for (const [o, { deltas, first }] of lists.entries()) {
        for (let p = 0; p < pixels; p++) {
          let sum = 0;
          for (const [i, delta] of deltas.entries()) sum += (i < first ? 1 : -1) * x[delta + p]!;
          expected[o * step + p] = cut(scale[o]! * sum + bias[o]!, low, high);
        }
        for (let p = pixels; p < step; p++) expected[o * step + p] = Number.NaN;
      }
      expectExact(y as Float32Array, expected);
    }));

  test.each([1, -1])('xnorPlanes holds sums of 32,767 signs, %i each', (sign) => {
    // 5461 entries of 6 signs and one of 1.
    const x = Int8Array.from({ length: 32 }, (_, i) => (i < 16 ? 6 : 1));
    const deltas = [...new Array<number>(5461).fill(0), 16];
    const all = 4 * deltas.length;
    const head = [sign > 0 ? all : 0, all, ...new Uint32Array(Float32Array.of(1, 0).buffer)];
    const { y } = run(
      { x: input(bytes(x)), lists: input(words([...head, ...deltas])), y: output(16) },
      (at) => k.xnorPlanes(at.x, at.lists, at.y, 64, 1, 1, 21, ...INFINITE),
      0,
    );
    expectExact(y, new Array<number>(16).fill(sign * 32_767));
  });

  test('signVector: signs of 32 values are a word', () =>
    check(fc.record({ values: upTo(70), seed: seeds }), 40, ({ values, seed }) => {
      const x = integers(values, seed);
      const table = integers(2 * values, seed + 1);
      const { v } = run(
        { x: input(x), table: input(table), v: output(Math.ceil(values / 32)) },
        (at) => k.signVector(at.x, at.v, values, at.table),
        seed,
      );
      const got = new Uint32Array(v.buffer);
      for (let i = 0; i < values; i++) {
        const negative = isNegative(x[i]!, table[2 * i]!, table[2 * i + 1]!);
        expect(Boolean((got[i >> 5]! >>> (i & 31)) & 1)).toBe(negative);
      }
    }));
});

/** P(N < x) for a normal N: the sum of its series, or the tail as a continued fraction. */
function normal(x: number): number {
  const density = Math.exp((-x * x) / 2) / Math.sqrt(2 * Math.PI);
  if (Math.abs(x) > 3) {
    let fraction = 0;
    for (let k = 60; k > 0; k--) fraction = k / (Math.abs(x) + fraction);
    const tail = density / (Math.abs(x) + fraction);
    return x < 0 ? tail : 1 - tail;
  }
  let sum = 0;
  let term = x;
  for (let k = 1; k < 120; k += 2) {
    sum += term;
    term *= (x * x) / (k + 2);
  }
  return 0.5 + density * sum;
}

describe.each(BUILDS)('value by value, $build', ({ k }) => {
  const curves: Record<keyof typeof CURVES, (x: number) => number> = {
    sigmoid: (x) => 1 / (1 + Math.exp(-x)),
    tanh: Math.tanh,
    leakyRelu: (x) => (x < 0 ? 0.25 * x : x),
    elu: (x) => (x < 0 ? 0.25 * (Math.exp(x) - 1) : x),
    hardSigmoid: (x) => cut(0.2 * x + 0.5, 0, 1),
    softsign: (x) => x / (1 + Math.abs(x)),
    swish: (x) => x / (1 + Math.exp(-0.25 * x)),
    selu: (x) => 3 * (x < 0 ? 0.25 * (Math.exp(x) - 1) : x),
    sign: (x) => (x < 0 ? 0.25 : 3),
    gelu: (x) => x * normal(x),
    geluNew: (x) =>
      (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * Math.fround(x * x * x)))),
    mish: (x) => x * Math.tanh(Math.log1p(Math.exp(x))),
    softplus: (x) => (x > 0 ? x + Math.log1p(Math.exp(-x)) : Math.log1p(Math.exp(x))),
  };
  test.each(Object.keys(CURVES) as (keyof typeof CURVES)[])('%s', (name) => {
    const x = Float32Array.of(
      0,
      -0,
      1e-6,
      -1e-6,
      0.1,
      -0.1,
      0.6,
      0.7,
      -1,
      2,
      -5,
      9,
      -30,
      30,
      86,
      -86,
      ...reals(400, 3).map((v) => 8 * v),
    );
    const { x: y } = run(
      { x: { values: x, written: true } },
      (at) => k.activate(at.x, x.length, CURVES[name], 0.25, 3),
      0,
    );
    const expected = Array.from(x, (value) => curves[name](value));
    expectWithin(y, expected, (i) => 3e-7 + 3e-7 * Math.abs(expected[i]!));
  });

  test('softmax of rows of any length', () =>
    check(
      fc.record({ rows: upTo(4), columns: upTo(19), seed: seeds }),
      60,
      ({ rows, columns, seed }) => {
        const x = reals(rows * columns, seed).map((v) => 20 * v);
        const { x: y } = run(
          { x: { values: x, written: true } },
          (at) => k.softmax(at.x, rows, columns),
          seed,
        );
        const expected = Array.from(x, (value, i) => {
          const row = x.subarray(i - (i % columns), i - (i % columns) + columns);
          const largest = row.reduce((a, b) => Math.max(a, b));
          return Math.exp(value - largest) / row.reduce((sum, v) => sum + Math.exp(v - largest), 0);
        });
        expectWithin(y, expected, (i) => 1e-7 + 2e-6 * expected[i]!);
      },
    ));

  test.each(Object.keys(COMBINATIONS) as (keyof typeof COMBINATIONS)[])('combine: %s', (name) => {
    const by = {
      add: (a: number, b: number) => a + b,
      subtract: (a: number, b: number) => a - b,
      multiply: (a: number, b: number) => a * b,
      maximum: Math.max,
      minimum: Math.min,
    }[name];
    const [a, b] = [integers(24, 1), integers(24, 2)];
    const { y } = run(
      { a: input(a), b: input(b), y: output(24) },
      (at) => k.combine(at.a, at.b, at.y, 24, COMBINATIONS[name], -3, 6),
      0,
    );
    expectExact(
      y,
      Array.from(a, (v, i) => cut(by(v, b[i]!), -3, 6)),
    );
  });

  test('scales of channels and of values, mean sizes and products with a plane', () => {
    const x = integers(24, 1);
    const table = integers(6, 2);
    const plane = integers(8, 3);
    const [scale, shift] = [integers(24, 4), integers(24, 5)];
    const operands = {
      x: input(x),
      table: input(table),
      plane: input(plane),
      scale: input(scale),
      shift: input(shift),
      a: output(24),
      b: output(24),
      c: output(8),
      d: { values: Float32Array.from(x), written: true },
      e: output(24),
    };
    const got = run(
      operands,
      (at) => {
        k.scalePlanes(at.x, at.a, 32, 3, 8, at.table, -9, 9);
        k.scaleVector(at.x, at.b, 24, at.scale, at.shift, -9, 9);
        k.meanSize(at.x, 32, at.c, 3, 8, at.table);
        k.multiplyPlanes(at.d, 32, 3, 8, at.plane, at.table, -9, 9);
        k.copy(at.x, at.e, 96);
      },
      0,
    );
    const h = Array.from(x, (v, i) => v * table[2 * (i >> 3)]! + table[2 * (i >> 3) + 1]!);
    expectExact(
      got.a,
      h.map((v) => cut(v, -9, 9)),
    );
    expectExact(
      got.b,
      Array.from(x, (v, i) => cut(v * scale[i]! + shift[i]!, -9, 9)),
    );
    expectWithin(
      got.c,
      Array.from(
        { length: 8 },
        (_, p) => (Math.abs(h[p]!) + Math.abs(h[p + 8]!) + Math.abs(h[p + 16]!)) / 3,
      ),
      () => 1e-5,
    );
    expectExact(
      got.d,
      Array.from(x, (v, i) => cut(v * plane[i % 8]! + table[2 * (i >> 3) + 1]!, -9, 9)),
    );
    expectExact(got.e, x);
  });
});

describe('the module', () => {
  test('is of its own, imports the memory and nothing else, and is small', () => {
    for (const edits of [undefined, ...(hasRelaxedSimd() ? [relaxed] : [])]) {
      const bytes = decodeModule(plain, edits);
      expect(bytes.length).toBeLessThan(26_000);
      expect(WebAssembly.Module.imports(new WebAssembly.Module(bytes))).toEqual([
        { module: 'env', name: 'memory', kind: 'memory' },
      ]);
    }
    const source = readFileSync(new URL('../src/inference.ts', import.meta.url), 'utf8');
    for (const { name, kind } of WebAssembly.Module.exports(
      new WebAssembly.Module(Buffer.from(plain, 'base64')),
    )) {
      expect(kind).toBe('function');
      expect(source).toContain(`  ${name}(`);
    }
  });

  test('runs on a memory that threads share', async () => {
    const shared = new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true });
    const { softmax } = inferenceKernels(await inferenceModule({ sharedPages: 65_536 }), shared);
    const values = new Float32Array(shared.buffer, 1024, 2);
    softmax(1024, 1, 2);
    expect([...values]).toEqual([0.5, 0.5]);
  });
});
