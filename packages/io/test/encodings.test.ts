// Every encoding comes back bit for bit, in every layout and with every entropy code that fits it.
import { type Encoding, Random, sizeOf, type ValueCode } from '@thimble/base';
import type { Graph, GraphWeight } from '@thimble/graph';
import { encodeGraph } from '@thimble/io';
import { decodeBytes, hashedValues, readWeight, Workspace } from '@thimble/runtime/file';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { halfOf } from '../src/codes.ts';
import type { LayoutName } from '../src/layouts.ts';
import { type EntropyCode, storeWeight } from '../src/store-weight.ts';
import { halfToFloat } from '../src/values-of-codes.ts';

const random = new Random(2, 'encodings');

function weightOf(
  shape: number[],
  values: ValueCode,
  value: (i: number) => number,
  kept: (i: number) => boolean = () => true,
): GraphWeight {
  const data = Float32Array.from({ length: sizeOf(shape) }, (_, i) => (kept(i) ? value(i) : 0));
  const mask = Uint8Array.from(data, (each) => (each === 0 ? 0 : 1));
  const nonzero = mask.reduce((sum, keep) => sum + keep, 0);
  const encoding: Encoding = { shape, values, nonzero };
  return { encoding: nonzero < data.length ? { ...encoding, mask } : encoding, data };
}

const signed = (largest: number) => random.integer(2 * largest + 1) - largest;
const pick = (list: Float32Array) => list[random.integer(list.length)]!;
const scales = (n: number) => Float32Array.from({ length: n }, () => random.uniform(0.001, 2));

/** What each encoding is, on some shape, and how an entry comes about. */
function cases(shape: number[], kept: (i: number) => boolean): Record<string, GraphWeight> {
  const out = shape.at(-1)!;
  const size = sizeOf(shape);
  const perChannel = scales(out);
  const groups = scales((size / out / shape[0]!) * Math.ceil(shape[0]! / 4) * out);
  const inner = size / shape[0]!;
  const shared = Float32Array.of(-0.75, -0.5, -0.125, 0.3, 0.7, 0.9, 1.5);
  const own = Float32Array.from({ length: 4 * out }, () => random.normal());
  for (let k = 0; k < out; k++) own.subarray(4 * k, 4 * k + 4).sort();
  const points = (n: number, at: number) => new Int32Array(n).fill(at);
  const made = (values: ValueCode, value: (i: number) => number) =>
    weightOf(shape, values, value, kept);
  return {
    float32: made({ type: 'float', bits: 32 }, () => random.normal()),
    float16: made({ type: 'float', bits: 16 }, () => halfToFloat(halfOf(random.normal()))),
    'int8 per tensor': made(
      {
        type: 'affine',
        bits: 8,
        scale: Float32Array.of(0.01),
        zeroPoint: points(1, 128),
        axis: null,
      },
      () => Math.fround(0.01) * signed(127),
    ),
    'int8 per channel': made(
      {
        type: 'affine',
        bits: 8,
        scale: perChannel,
        zeroPoint: points(out, 128),
        axis: shape.length - 1,
      },
      (i) => perChannel[i % out]! * signed(127),
    ),
    'int4 per group': made(
      {
        type: 'affine',
        bits: 4,
        scale: groups,
        zeroPoint: points(groups.length, 8),
        axis: 0,
        group: 4,
      },
      (i) => groups[Math.floor(i / (4 * inner)) * inner + (i % inner)]! * signed(7),
    ),
    '16 bits': made(
      {
        type: 'affine',
        bits: 16,
        scale: Float32Array.of(2 ** -12),
        zeroPoint: points(1, 2 ** 15),
        axis: null,
      },
      () => signed(2 ** 15 - 1) * 2 ** -12,
    ),
    ternary: made(
      {
        type: 'affine',
        bits: 2,
        scale: perChannel,
        zeroPoint: points(out, 1),
        axis: shape.length - 1,
      },
      (i) => perChannel[i % out]! * signed(1),
    ),
    codebook: made({ type: 'codebook', bits: 3, centroids: shared, axis: null }, () =>
      pick(shared),
    ),
    'codebook per channel': made(
      { type: 'codebook', bits: 2, centroids: own, axis: shape.length - 1 },
      (i) => own[4 * (i % out) + random.integer(4)]!,
    ),
    'powers of two': made(
      { type: 'powersOfTwo', bits: 5, top: 1 },
      () => Math.sign(random.uniform() - 0.5) * 2 ** (1 - random.integer(8)),
    ),
    binary: made({ type: 'binary', bits: 1, scale: perChannel, axis: shape.length - 1 }, (i) =>
      random.integer(2) ? perChannel[i % out]! : -perChannel[i % out]!,
    ),
    signs: made({ type: 'binary', bits: 1, scale: new Float32Array(0), axis: null }, () =>
      random.integer(2) ? 1 : -1,
    ),
  };
}

const PATTERNS: Record<string, (i: number) => boolean> = {
  dense: () => true,
  'a tenth kept': () => random.uniform() < 0.1,
  'a hundredth kept': () => random.uniform() < 0.01,
  '2:4': (i) => Math.floor(i / 3) % 4 < 2,
  blocks: (i) => Math.floor(i / 8) % 5 === 0,
  'nothing kept': () => false,
};
const LAYOUTS: LayoutName[] = ['dense', 'gaps', 'bitmap', 'nm', 'blocks'];
const ENTROPIES: EntropyCode[] = ['none', 'huffman', 'arithmetic'];

/** Whether two arrays hold the same bits; `toEqual` compares entry by entry, which takes its time. */
function sameBytes(a?: Float32Array | Uint8Array, b?: Float32Array | Uint8Array): boolean {
  const raw = (array: typeof a) =>
    array && Buffer.from(array.buffer, array.byteOffset, array.byteLength);
  return a && b ? raw(a)!.equals(raw(b)!) : a === b;
}

function read(bytes: Uint8Array): GraphWeight {
  return Workspace.use((work) => {
    const reader = work.open(bytes);
    const weight = readWeight(reader, { values: 1e6 }, work);
    expect(reader.left).toBe(0);
    return weight;
  });
}

describe.each(Object.keys(PATTERNS))('%s', (pattern) => {
  const shapes = [[16, 24], [3, 3, 8, 6], [48]];
  it.each(shapes)('every encoding in every form, shape %j %j', (...shape) => {
    const forms = new Set<string>();
    for (const [name, weight] of Object.entries(cases(shape.filter(Boolean), PATTERNS[pattern]!))) {
      for (const entropy of ENTROPIES) {
        for (const layout of LAYOUTS) {
          const stored = (() => {
            try {
              return storeWeight(weight, { entropies: [entropy], layouts: [layout] });
            } catch {
              return undefined; // no layout of that name fits
            }
          })();
          if (!stored) continue;
          forms.add(`${stored.layout} ${stored.entropy}`);
          const back = read(stored.bytes);
          expect(sameBytes(back.data, weight.data), `${name} ${layout} ${entropy}`).toBe(true);
          expect(sameBytes(back.encoding.mask, weight.encoding.mask), name).toBe(true);
          expect(back.encoding.nonzero, name).toBe(weight.encoding.nonzero);
          if (weight.encoding.nonzero > 0) {
            expect(back.encoding.values.type, name).toBe(weight.encoding.values.type);
          }
        }
      }
    }
    expect(forms.size).toBeGreaterThan(2);
  });
});

it('finds N:M and blocks where they are', () => {
  const code: ValueCode = { type: 'float', bits: 32 };
  const value = () => random.normal();
  const nm = weightOf([8, 512], code, value, (i) => Math.floor(i / 512) % 4 < 2);
  expect(storeWeight(nm, { entropies: ['none'], layouts: ['nm', 'bitmap'] }).layout).toBe('bitmap');
  // 2 bits for each of two of four entries, as much as a bitmap; with 1:4 half of that.
  const one = weightOf([8, 512], code, value, (i) => (Math.floor(i / 512) + i) % 4 === 0);
  expect(storeWeight(one, { entropies: ['none'] }).layout).toBe('nm');
  const blocks = weightOf([64, 64], code, value, (i) => (i >> 4) % 3 === 0);
  expect(storeWeight(blocks, { entropies: ['none'] }).layout).toBe('blocks');
});

it('takes hashed weights as their real weights', () => {
  const values = { type: 'hashed', bits: 0, weights: scales(9), seed: 4294967295 } as const;
  const data = hashedValues(values, 200);
  const weight = { encoding: { shape: [20, 10], values, nonzero: 200 }, data };
  const stored = storeWeight(weight);
  expect(stored.bytes.length).toBeLessThan(9 * 4 + 16);
  expect(read(stored.bytes)).toEqual(weight);
});

it('stores floats where values do not fit their code', () => {
  const values: ValueCode = { type: 'binary', bits: 1, scale: Float32Array.of(1), axis: null };
  const weight = weightOf([20, 20], values, () => random.normal());
  const back = read(storeWeight(weight).bytes);
  expect(back.data).toEqual(weight.data);
  expect(back.encoding.values).toEqual({ type: 'float', bits: 32 });
});

it('halves are those of IEEE 754', () => {
  // Bits by Python's struct.pack('<e', x).
  const known: [number, number][] = [
    [0, 0],
    [-0, 0x8000],
    [1, 0x3c00],
    [-2, 0xc000],
    [65504, 0x7bff],
    [65520, 0x7c00],
    [0.1, 0x2e66],
    [2 ** -14, 0x400],
    [2 ** -24, 1],
    [2 ** -25, 0],
    [1.00048828125, 0x3c00],
    [1.0014648438, 0x3c02],
  ];
  for (const [value, bits] of known) expect(halfOf(value)).toBe(bits);
  for (let bits = 0; bits < 0x7c00; bits += 7) expect(halfOf(halfToFloat(bits))).toBe(bits);
});

it('any codes come back', () => {
  const codes = fc.array(
    fc.oneof(
      fc.constant(0),
      fc.integer({ min: -3, max: 3 }),
      fc.integer({ min: -40000, max: 40000 }),
    ),
    {
      minLength: 1,
      maxLength: 200,
    },
  );
  fc.assert(
    fc.property(codes, fc.constantFrom(...ENTROPIES), (list, entropy) => {
      const values: ValueCode = {
        type: 'affine',
        bits: 20,
        scale: Float32Array.of(1),
        zeroPoint: Int32Array.of(0),
        axis: null,
      };
      const weight = weightOf([list.length], values, (i) => list[i]!);
      const stored = storeWeight(weight, { entropies: [entropy, 'none'] });
      expect(read(stored.bytes).data).toEqual(weight.data);
    }),
    { seed: 11, numRuns: 150 },
  );
});

it('a file of almost nothing but zeros is one that decode takes', () => {
  const weight = weightOf([1280, 1024], { type: 'float', bits: 32 }, () => 0);
  const node = {
    inputs: [],
    attributes: {},
    outputs: [[1]],
    op: 'dense',
    name: 'a',
    layer: 'a',
    weights: { kernel: 'a/kernel' },
  };
  const graph: Graph = {
    name: 'zeros',
    nodes: [node],
    weights: { 'a/kernel': weight },
    inputs: [],
    outputs: [],
  };
  const { bytes } = encodeGraph(graph);
  expect(bytes.length).toBe(5120);
  expect(decodeBytes(bytes).graph.weights['a/kernel']!.encoding.nonzero).toBe(0);
  expect(() => decodeBytes(bytes, 4 * 1280 * 1023)).toThrow('maxBytes');
});
