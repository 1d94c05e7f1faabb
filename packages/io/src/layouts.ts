// The layouts that a weight can be stored in: which entries are kept, and how that is written.
import { sizeOf } from '@thimble/base';
import type { GraphWeight } from '@thimble/graph';
import { BY_OUTPUTS } from '@thimble/runtime/file';
import type { ByteWriter } from './byte-writer.ts';
import { BitWriter } from './byte-writer.ts';
import { placesByOutputs, runsAlong } from './groups.ts';
import { writeHuffman } from './huffman-code.ts';

/** Names of the layouts. */
export type LayoutName = 'dense' | 'gaps' | 'bitmap' | 'nm' | 'blocks';

/** A layout of one weight. */
export interface Layout {
  name: LayoutName;
  /** The kept entries, fillers included, in the order of their values; absent when all are kept. */
  places?: Int32Array;
  fillers: number;
  gapBits: number;
  /** Writes where they are. */
  write(writer: ByteWriter, huffman: boolean): void;
}

const GAP_BITS = [2, 3, 4, 5, 6, 7, 8];
/** N:M patterns that are looked for: M. */
const GROUP_SIZES = [4, 8, 16];
/** Lengths of blocks that are looked for. */
const BLOCK_SIZES = [2, 4, 8, 16];
/** Blocks that hold more zeros than this are no blocks: entries stored for each that is other than 0. */
const MOST_STORED = 1.5;

/** Every layout that fits a weight, those only that are asked for. */
export function layoutsOf(
  { encoding, data }: GraphWeight,
  { layouts, gapBits }: { layouts?: readonly LayoutName[]; gapBits?: number },
): Layout[] {
  const { shape } = encoding;
  const size = sizeOf(shape);
  const wanted = (name: LayoutName) => !layouts || layouts.includes(name);
  const made: Layout[] = [];
  if (wanted('dense')) made.push({ name: 'dense', fillers: 0, gapBits: 0, write() {} });
  const kept = keptEntries(data!);
  // Where nearly all are kept a bit for each is more than it saves.
  if (kept.length > 0.97 * size && made.length > 0) return made;
  if (wanted('bitmap')) made.push(bitmap(kept, size));
  if (wanted('gaps')) {
    const orders: Order[] = [{ kept, size }];
    const outputs = shape.at(-1) ?? 1;
    if (shape.length > 1 && outputs > 1) {
      orders.push({ kept: byOutputs(data!, outputs), size, outputs });
    }
    for (const order of orders) {
      for (const bits of gapBits === undefined ? GAP_BITS : [gapBits]) made.push(gaps(order, bits));
    }
  }
  if (kept.length === 0 && made.length > 0) return made;
  for (let axis = 0; axis < shape.length; axis++) {
    if (shape[axis]! < 2) continue;
    if (wanted('nm')) made.push(...GROUP_SIZES.flatMap((m) => nOfM(data!, shape, axis, m)));
    if (wanted('blocks')) made.push(...BLOCK_SIZES.flatMap((b) => blocks(data!, shape, axis, b)));
  }
  return made;
}

function keptEntries(data: Float32Array): Int32Array {
  const kept = new Int32Array(data.length);
  let count = 0;
  for (let i = 0; i < data.length; i++) if (data[i] !== 0) kept[count++] = i;
  return kept.slice(0, count);
}

/** The kept entries output by output, numbered in that order. */
function byOutputs(data: Float32Array, outputs: number): Int32Array {
  const kept = new Int32Array(data.length);
  const inputs = data.length / outputs;
  let count = 0;
  for (let o = 0; o < outputs; o++) {
    for (let i = 0; i < inputs; i++)
      if (data[i * outputs + o] !== 0) kept[count++] = o * inputs + i;
  }
  return kept.slice(0, count);
}

function bitmapBytes(places: Int32Array, count: number): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(count / 8));
  for (const place of places) bytes[place >> 3]! |= 1 << (place & 7);
  return bytes;
}

function bitmap(kept: Int32Array, size: number): Layout {
  const write = (writer: ByteWriter) => writer.append(bitmapBytes(kept, size));
  return { name: 'bitmap', places: kept, fillers: 0, gapBits: 0, write };
}

/** The kept entries of a weight of `size`; with `outputs`, numbered output by output. */
interface Order {
  kept: Int32Array;
  size: number;
  outputs?: number;
}

/**
 * Deep Compression's relative indices (Han et al., 2016, section 2): the distance from each kept entry to
 * the next less 1, in `bits` bits; a filler zero where it is more than 2^bits. In the order of the entries,
 * or output by output, as the paper's networks lie in memory.
 */
function gaps({ kept, size, outputs }: Order, bits: number): Layout {
  const reach = 2 ** bits;
  const places: number[] = [];
  const steps: number[] = [];
  let last = -1;
  for (const place of kept) {
    while (place - last > reach) {
      last += reach;
      places.push(last);
      steps.push(reach - 1);
    }
    places.push(place);
    steps.push(place - last - 1);
    last = place;
  }
  const numbers = Int32Array.from(places);
  return {
    name: 'gaps',
    places: outputs === undefined ? numbers : placesByOutputs(numbers, size, outputs),
    fillers: places.length - kept.length,
    gapBits: bits,
    write(writer, huffman) {
      writer.byte(outputs === undefined ? bits : bits + BY_OUTPUTS);
      writer.varint(steps.length);
      if (steps.length === 0) return;
      if (huffman) {
        writeHuffman(writer, Int32Array.from(steps), reach);
        return;
      }
      const packed = new BitWriter();
      for (const step of steps) packed.write(step, bits);
      writer.section(packed.done());
    },
  };
}

/** Of every M entries along an axis the same number is kept. One layout, or none where most would be. */
function nOfM(data: Float32Array, shape: readonly number[], axis: number, m: number): Layout[] {
  const runs = runsAlong(shape, axis, m);
  let most = 0;
  for (let run = 0; run < runs.count; run++) {
    let kept = 0;
    const [first, size] = [runs.first(run), runs.size(run)];
    for (let k = 0; k < size; k++) if (data[first + k * runs.stride] !== 0) kept++;
    most = Math.max(most, kept);
    if (most > m / 2) return [];
  }
  const places: number[] = [];
  const within = new BitWriter();
  const width = 32 - Math.clz32(m - 1);
  let fillers = 0;
  for (let run = 0; run < runs.count; run++) {
    const [first, size] = [runs.first(run), runs.size(run)];
    const chosen: number[] = [];
    const rest: number[] = [];
    for (let k = 0; k < size; k++) {
      if (data[first + k * runs.stride] !== 0) chosen.push(k);
      else rest.push(k);
    }
    while (chosen.length < Math.min(most, size)) {
      chosen.push(rest.shift()!);
      fillers++;
    }
    for (const k of chosen) {
      places.push(first + k * runs.stride);
      within.write(k, width);
    }
  }
  return [
    {
      name: 'nm',
      places: Int32Array.from(places),
      fillers,
      gapBits: 0,
      write(writer) {
        writer.byte(axis);
        writer.varint(m);
        writer.varint(most);
        writer.section(within.done());
      },
    },
  ];
}

/** Runs along an axis that are kept or left out as one. None where that leaves out nothing. */
function blocks(
  data: Float32Array,
  shape: readonly number[],
  axis: number,
  length: number,
): Layout[] {
  const runs = runsAlong(shape, axis, length);
  const keptRuns: number[] = [];
  let [nonzero, stored] = [0, 0];
  for (let run = 0; run < runs.count; run++) {
    const [first, size] = [runs.first(run), runs.size(run)];
    let kept = 0;
    for (let k = 0; k < size; k++) if (data[first + k * runs.stride] !== 0) kept++;
    if (kept === 0) continue;
    keptRuns.push(run);
    nonzero += kept;
    stored += size;
  }
  if (keptRuns.length === runs.count || stored > MOST_STORED * nonzero) return [];
  const fillers = stored - nonzero;
  const places = new Int32Array(stored);
  let count = 0;
  for (const run of keptRuns) {
    const [first, size] = [runs.first(run), runs.size(run)];
    for (let k = 0; k < size; k++) places[count++] = first + k * runs.stride;
  }
  return [
    {
      name: 'blocks',
      places,
      fillers,
      gapBits: 0,
      write(writer) {
        writer.byte(axis);
        writer.varint(length);
        writer.append(bitmapBytes(Int32Array.from(keptRuns), runs.count));
      },
    },
  ];
}
