// Where the kept entries of a weight are.
import { sizeOf } from '@thimble/base';
import { BY_OUTPUTS, ENTROPY, LAYOUTS } from './format.ts';
import { type ByteReader, corrupt } from './reader.ts';
import { readSymbols } from './symbols.ts';
import type { Address, Workspace } from './workspace.ts';

const MOST_GAP_BITS = 8;
const MOST_RUN = 256;

/** Places of entries, a word each. */
export interface Places {
  at: Address;
  count: number;
  /** Whether each lies behind the one before. */
  ascending: boolean;
}

/** The places of the kept entries, fillers included; undefined when all are kept. */
export function readPlaces(
  reader: ByteReader,
  shape: number[],
  layout: number,
  entropy: number,
  work: Workspace,
): Places | undefined {
  switch (layout) {
    case LAYOUTS.dense:
      return undefined;
    case LAYOUTS.gaps:
      return readGaps(reader, shape, entropy, work);
    case LAYOUTS.bitmap: {
      const size = sizeOf(shape);
      const bits = work.file + reader.skip(Math.ceil(size / 8), 'a bitmap');
      const at = work.take(4 * size);
      return { at, count: work.kernels.bitPlaces(bits, size, at), ascending: true };
    }
    case LAYOUTS.nm:
      return readNofM(reader, shape, work);
    case LAYOUTS.blocks:
      return readBlocks(reader, shape, work);
    default:
      throw corrupt(`there is no layout ${layout}`);
  }
}

function readGaps(reader: ByteReader, shape: number[], entropy: number, work: Workspace): Places {
  const size = sizeOf(shape);
  const byte = reader.byte();
  const bits = byte % BY_OUTPUTS;
  if (bits < 1 || bits > MOST_GAP_BITS) throw corrupt(`gaps cannot have ${bits} bits`);
  const count = reader.varint('the number of kept entries', size);
  if (count === 0) return { at: 0, count, ascending: true };
  const at = readSymbols(reader, work, 2 ** bits, count, entropy, 0);
  const outputs = byte < BY_OUTPUTS ? 0 : (shape.at(-1) ?? 1);
  if (work.kernels.gapPlaces(at, count, size, outputs)) {
    return { at, count, ascending: outputs === 0 };
  }
  throw corrupt('a kept entry lies outside its weight');
}

/** Runs of `length` entries along an axis of `along` entries, `stride` apart; the last may be shorter. */
function readRuns(reader: ByteReader, shape: number[]) {
  const axis = reader.byte();
  const length = reader.varint('the length of runs', MOST_RUN);
  if (axis >= shape.length || length < 1) throw corrupt('runs have no axis');
  const [outer, stride] = [sizeOf(shape.slice(0, axis)), sizeOf(shape.slice(axis + 1))];
  return { outer, along: shape[axis]!, stride, length };
}

function readNofM(reader: ByteReader, shape: number[], work: Workspace): Places {
  const { outer, along, stride, length } = readRuns(reader, shape);
  const kept = reader.varint('the number of kept entries', length);
  const whole = Math.floor(along / length);
  const count = outer * stride * (whole * kept + Math.min(kept, along - whole * length));
  const at = readSymbols(reader, work, length, count, ENTROPY.none, 0);
  if (work.kernels.runPlaces(at, outer, along, stride, length, kept)) {
    return { at, count, ascending: false };
  }
  throw corrupt('a kept entry lies outside its run');
}

function readBlocks(reader: ByteReader, shape: number[], work: Workspace): Places {
  const { outer, along, stride, length } = readRuns(reader, shape);
  const count = outer * stride * Math.ceil(along / length);
  const bits = work.file + reader.skip(Math.ceil(count / 8), 'a bitmap');
  const at = work.take(4 * sizeOf(shape));
  const kept = work.kernels.blockPlaces(bits, at, outer, along, stride, length);
  return { at, count: kept, ascending: false };
}
