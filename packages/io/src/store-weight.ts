// The bytes of one weight in a .thimble file: every layout and entropy code that fits is tried, and the
// smallest taken. The other half of the runtime's readWeight.
import { joined, sizeOf, type ValueCode } from '@thimble/base';
import type { GraphWeight } from '@thimble/graph';
import {
  ENTROPY,
  LAYOUT_STEP,
  LAYOUTS,
  MASKED,
  MOST_SYMBOLS,
  NO_AXIS,
  VALUES,
} from '@thimble/runtime/file';
import { codeCodes } from './arithmetic/code-model.ts';
import { ArithmeticEncoder } from './arithmetic/encoder.ts';
import { BitWriter, ByteWriter } from './byte-writer.ts';
import { type Coded, codesOf, halfOf } from './codes.ts';
import { writeHuffman } from './huffman-code.ts';
import { type Layout, type LayoutName, layoutsOf } from './layouts.ts';

/** How codes become bits. */
export type EntropyCode = 'huffman' | 'arithmetic' | 'none';

/** Which layouts and entropy codes may be used. */
export interface Entropies {
  entropies: readonly EntropyCode[];
  /** Default all. */
  layouts?: readonly LayoutName[];
  /** Bits of a gap, for the layout of that name; default whatever is smallest. */
  gapBits?: number;
}

/** A stored weight. */
export interface Stored {
  bytes: Uint8Array;
  values: ValueCode;
  layout: LayoutName | 'arithmetic' | 'hashed';
  entropy: EntropyCode;
  /** Entries that are stored though they are 0, because the next kept one is too far. */
  fillers: number;
  /** Bits of a gap; 0 in other layouts. */
  gapBits: number;
}

const ALL: readonly EntropyCode[] = ['none', 'huffman', 'arithmetic'];

/** Weights of more entries take the arithmetic coder, which is slow to read, only if it saves such a share. */
const LARGE = 2 ** 12;
const LEAST_GAIN = 0.03;

/** The smallest form of a weight. */
export function storeWeight(weight: GraphWeight, choice: Entropies = { entropies: ALL }): Stored {
  const coded = codesOf(weight);
  const head = headOf(weight, coded);
  const common = { values: coded.values, fillers: 0, gapBits: 0 };
  if (coded.values.type === 'hashed') {
    return { ...common, bytes: head, layout: 'hashed', entropy: 'none' };
  }
  let best: Stored | undefined;
  const offer = (candidate: Omit<Stored, 'values'>) => {
    const bytes = joined(Uint8Array, [head, candidate.bytes]);
    const slow = best?.entropy === 'arithmetic' && sizeOf(weight.encoding.shape) > LARGE;
    const limit = best ? best.bytes.length * (slow ? 1 + LEAST_GAIN : 1) : Number.POSITIVE_INFINITY;
    if (bytes.length < limit) best = { ...common, ...candidate, bytes };
  };
  if (choice.entropies.includes('arithmetic')) {
    const bytes = arithmeticForm(weight, coded);
    offer({ bytes, layout: 'arithmetic', entropy: 'arithmetic', fillers: 0, gapBits: 0 });
  }
  const others = choice.entropies.filter((entropy) => entropy !== 'arithmetic');
  if (others.length > 0) {
    for (const layout of layoutsOf(weight, choice)) {
      for (const entropy of others) {
        const bytes = layoutForm(weight, coded, layout, entropy === 'huffman');
        if (bytes)
          offer({
            bytes,
            entropy,
            layout: layout.name,
            fillers: layout.fillers,
            gapBits: layout.gapBits,
          });
      }
    }
  }
  return best!;
}

function headOf({ encoding }: GraphWeight, { values }: Coded): Uint8Array {
  const { shape, mask } = encoding;
  const writer = new ByteWriter();
  const kind = values.type === 'float' ? VALUES[`float${values.bits}`] : VALUES[values.type];
  writer.byte(kind + (mask ? MASKED : 0));
  writer.byte(shape.length);
  for (const size of shape) writer.varint(size);
  writeValueCode(writer, values);
  return writer.done();
}

function writeValueCode(writer: ByteWriter, values: ValueCode): void {
  const axis = 'axis' in values ? (values.axis ?? NO_AXIS) : NO_AXIS;
  switch (values.type) {
    case 'float':
      return;
    case 'affine': {
      const { bits, group = 0, scale, zeroPoint } = values;
      writer.byte(bits);
      writer.byte(axis);
      writer.varint(group);
      writer.floats(scale);
      const shared = zeroPoint.every((point) => point === zeroPoint[0]);
      writer.byte(shared ? 8 : 0);
      for (const point of shared ? zeroPoint.subarray(0, 1) : zeroPoint) writer.signed(point);
      return;
    }
    case 'codebook':
      writer.byte(values.bits);
      writer.byte(axis);
      writer.varint(values.centroids.length);
      writer.floats(values.centroids);
      return;
    case 'powersOfTwo':
      writer.byte(values.bits);
      writer.signed(values.top);
      return;
    case 'hashed':
      writer.varint(values.weights.length);
      writer.varint(values.seed);
      writer.floats(values.weights);
      return;
    case 'binary':
      writer.byte(axis);
      writer.varint(values.scale.length);
      writer.floats(values.scale);
  }
}

function arithmeticForm({ encoding, data }: GraphWeight, { values, codes }: Coded): Uint8Array {
  const { shape } = encoding;
  const columns = shape.at(-1) ?? 1;
  const own = codes?.slice() ?? Int32Array.from(data!, (value) => (value === 0 ? 0 : 1));
  const rows = columns === 0 ? 0 : own.length / columns;
  const lag = lagOf(own, rows, columns);
  const coder = new ArithmeticEncoder();
  codeCodes(coder, own, { rows, columns, lag });
  const writer = new ByteWriter();
  writer.byte(LAYOUTS.arithmetic * LAYOUT_STEP);
  writer.varint(lag);
  writer.section(coder.done());
  if (values.type === 'float') {
    const kept = data!.filter((value) => value !== 0);
    writer.append(floatBytes(kept, values.bits));
  }
  return writer.done();
}

const MOST_LAG = 64;

/** How many rows above those are that are most alike: with the most entries that are other than 0 in both. */
export function lagOf(codes: Int32Array, rows: number, columns: number): number {
  const kept: number[] = [];
  for (let i = 0; i < codes.length; i++) if (codes[i] !== 0) kept.push(i);
  // Where most are kept there is nothing to learn from it.
  if (kept.length > codes.length / 3) return 1;
  let best = 1;
  let most = 0;
  for (let lag = 2; lag < Math.min(MOST_LAG, rows); lag++) {
    let shared = 0;
    for (const place of kept) if (codes[place + lag * columns]) shared++;
    if (shared > most) [best, most] = [lag, shared];
  }
  return best;
}

/** Undefined where the alphabet is too large for a Huffman code. */
function layoutForm(
  { encoding, data }: GraphWeight,
  { values, codes }: Coded,
  layout: Layout,
  huffman: boolean,
): Uint8Array | undefined {
  const writer = new ByteWriter();
  const entropy = huffman ? ENTROPY.huffman : ENTROPY.none;
  writer.byte(LAYOUTS[layout.name] * LAYOUT_STEP + entropy);
  layout.write(writer, huffman);
  const { places } = layout;
  if (huffman && places?.length === 0) return undefined;
  const count = places?.length ?? sizeOf(encoding.shape);
  if (!codes) {
    const floats = places ? Float32Array.from(places, (place) => data![place]!) : data!;
    if (values.type === 'float') writer.append(floatBytes(floats, values.bits));
    return writer.done();
  }
  const kept = places ? Int32Array.from(places, (place) => codes[place]!) : codes;
  let low = count > 0 ? Number.POSITIVE_INFINITY : 0;
  let high = count > 0 ? Number.NEGATIVE_INFINITY : 0;
  for (const code of kept) {
    if (code < low) low = code;
    if (code > high) high = code;
  }
  const symbols = high - low + 1;
  if (huffman && symbols > MOST_SYMBOLS) return undefined;
  writer.signed(low);
  writer.varint(symbols);
  writeSymbols(
    writer,
    kept.map((code) => code - low),
    symbols,
    huffman,
  );
  return writer.done();
}

/** Whole numbers below `symbols`, as a Huffman code or in as many bits as they need. */
export function writeSymbols(
  writer: ByteWriter,
  values: Int32Array,
  symbols: number,
  huffman: boolean,
): void {
  if (huffman) {
    writeHuffman(writer, values, symbols);
    return;
  }
  const width = symbols === 1 ? 0 : 32 - Math.clz32(symbols - 1);
  if (width === 8) {
    writer.section(Uint8Array.from(values));
    return;
  }
  const bits = new BitWriter();
  for (let i = 0; i < values.length; i++) bits.write(values[i]!, width);
  writer.section(bits.done());
}

function floatBytes(values: Float32Array, bits: 32 | 16): Uint8Array {
  const writer = new ByteWriter();
  if (bits === 32) writer.floats(values);
  else {
    for (const value of values) {
      const half = halfOf(value);
      writer.byte(half & 255);
      writer.byte(half >> 8);
    }
  }
  return writer.done();
}
