// The weights of dense layers as the kernels take them.
import { sizeOf } from '@thimble/base';
import type { Kept } from '@thimble/kernels/decoding';
import { type CodeBytes, StoredWeight } from '../file/stored-weight.ts';
import { type Address, Workspace } from '../file/workspace.ts';
import type { Finish } from './lists.ts';
import type { Weight } from './node-weights.ts';
import type { Dense } from './operations.ts';
import type { Content } from './program.ts';
import { withValues } from './with-values.ts';

const WORD = 4;
const PANEL = 16;
/** Bytes of panels that are made at a time. */
const PORTION = 65_536;

type Weights = Pick<Dense, 'weight' | 'inputs' | 'outputs' | 'scale' | 'bias'>;

/** Calls `make` with the weights, their scales and biases in a workspace. */
function withWeights<T>(
  { weight, inputs, outputs, scale, bias }: Weights,
  make: (work: Workspace, weights: [Address, number, number, Address, Address]) => T,
): T {
  return withValues(weight, (work, at) =>
    make(work, [at, inputs, outputs, work.put(scale), work.put(bias)]),
  );
}

/** Weights that are not zero, and blocks of 8 outputs and one input with such a weight. */
export function countKept({ weight, inputs, outputs }: Weights): { kept: number; blocks: number } {
  return Workspace.use((work) => {
    const counts = work.take(2 * WORD);
    const entries = entriesOf(weight);
    if (entries) work.kernels.keptBlocks(...entries, outputs, counts);
    else withValues(weight, (_, at) => work.kernels.countBlocks(at, inputs, outputs, counts));
    const [kept, blocks] = work.words(counts, 2) as unknown as [number, number];
    return { kept, blocks };
  });
}

/** The values that occur, in ascending order; undefined where they are more than `most`. */
export function distinctValues(weight: Weight, most: number): Float32Array | undefined {
  return withValues(weight, (work, at) => {
    const out = work.take(most * WORD);
    const count = work.kernels.distinctValues(at, sizeOf(weight.encoding.shape), out, most);
    return count > most ? undefined : work.floats(out, count).sort();
  });
}

/** Panels of 16 biases and then 16 weights of each input, with `more` rows of zeros. */
export function floatPanels(weights: Weights, more: number): Content {
  const { inputs, outputs } = weights;
  const panelBytes = PANEL * WORD * (1 + inputs + more);
  return {
    bytes: Math.ceil(outputs / PANEL) * panelBytes,
    fill: (target) =>
      withWeights(weights, (work, operands) => {
        inPortions(work, target, panelBytes, outputs, (begin, end, out) => {
          work.kernels.floatPanels(...operands, more, begin, end, out);
        });
      }),
  };
}

/** Makes panels a few at a time, so that little memory is touched beside the target. */
function inPortions(
  work: Workspace,
  target: Uint8Array,
  panelBytes: number,
  outputs: number,
  make: (begin: number, end: number, out: Address) => void,
): void {
  const panels = Math.max(1, Math.floor(PORTION / panelBytes));
  const out = work.take(panels * panelBytes);
  for (let at = 0, begin = 0; begin < outputs; begin += PANEL * panels) {
    const portion = work.bytes(out, Math.min(panels * panelBytes, target.length - at));
    portion.fill(0);
    make(begin, Math.min(outputs, begin + PANEL * panels), out);
    target.set(portion, at);
    at += portion.length;
  }
}

/** The values of a stored weight that are not zero, where they are stored alone. */
function entriesOf(weight: Weight): Kept | undefined {
  if (!(weight instanceof StoredWeight && weight.entries)) return undefined;
  const { places, kept, count } = weight.entries;
  return [places, kept, count];
}

/** Lists of the weights of each output that are not zero. */
export function listsOfOutputs(weights: Weights): Float32Array {
  const entries = entriesOf(weights.weight);
  if (entries) return listsOfEntries(entries, weights);
  return withWeights(weights, (work, operands) => {
    const [data, inputs, outputs] = operands;
    const [starts, places] = [work.take(outputs * WORD), work.take(outputs * WORD)];
    const length = work.kernels.listStarts(data, inputs, outputs, starts, places);
    const out = work.zeros(length * WORD);
    work.kernels.fillLists(...operands, starts, places, out);
    return work.floats(out, length);
  });
}

function listsOfEntries(entries: Kept, { outputs, scale, bias }: Weights): Float32Array {
  return Workspace.use((work) => {
    const factors = [work.put(scale), work.put(bias)] as const;
    const [starts, lengths] = [work.take(outputs * WORD), work.take(outputs * WORD)];
    const length = work.kernels.keptStarts(...entries, outputs, starts, lengths);
    const out = work.zeros(length * WORD);
    work.kernels.fillKept(...entries, outputs, ...factors, starts, lengths, out);
    return work.floats(out, length);
  });
}

/** Blocks of 8 outputs with the inputs that one of them needs. */
export function blocksOf(weights: Weights): Float32Array {
  return withWeights(weights, (work, operands) => {
    const [data, inputs, outputs] = operands;
    const sizes = work.take(outputs * WORD);
    const length = work.kernels.blockSizes(data, inputs, outputs, sizes);
    const out = work.zeros(length * WORD);
    work.kernels.fillBlocks(...operands, sizes, out);
    return work.floats(out, length);
  });
}

/** Panels of 16 scales and biases and then numbers of `values`, half a byte a weight. */
export function numberPanels(weights: Weights, values: Float32Array): Uint8Array {
  return withWeights(weights, (work, operands) => {
    const { inputs, outputs } = weights;
    const all = new Float32Array(PANEL);
    all.set(values);
    const length = Math.ceil(outputs / PANEL) * PANEL * (8 + Math.ceil(inputs / 2));
    const table = work.put(all);
    const out = work.zeros(length);
    work.kernels.numberPanels(...operands, table, out);
    return work.bytes(out, length).slice();
  });
}

/** Whole numbers behind values. */
export interface WholeCodes {
  codes: Int32Array | CodeBytes;
  /** The smallest and the largest, and 0: whether a kernel holds them. */
  least: number;
  most: number;
}

/** round(value / step) with a step for each output, the last axis. */
export function wholeCodes(data: Weight | Float32Array, steps: Float32Array): WholeCodes {
  if (data instanceof StoredWeight && data.codes) {
    return { codes: data.codes, least: data.codes.low, most: data.codes.most };
  }
  return withValues(data, (work, at) => {
    const length = 'data' in data ? sizeOf(data.encoding.shape) : data.length;
    const [range, divisors] = [work.take(2 * WORD), work.put(steps)];
    const codes = work.take(length * WORD);
    work.kernels.wholeCodes(at, length, divisors, steps.length, codes, range);
    const [least, most] = work.words(range, 2) as unknown as [number, number];
    return { codes: work.words(codes, length).slice(), least, most };
  });
}

/** The largest sum of magnitudes of the codes of an output; for codes of a byte any number, where it is below `enough`. */
export function largestSum(codes: Int32Array | CodeBytes, outputs: number, enough: number): number {
  const size = 'low' in codes ? codes.size : codes.length;
  const bound = 'low' in codes ? (size / outputs) * Math.max(-codes.low, codes.most) : enough;
  if (bound < enough) return bound;
  return withValues(codes, (work, at) => {
    const sums = work.zeros(2 * WORD * outputs);
    work.kernels.columnSums(at, size, outputs, sums);
    const all = new Float64Array(work.bytes(sums, 2 * WORD * outputs).slice().buffer);
    return all.reduce((most, sum) => Math.max(most, sum), 0);
  });
}

/** Panels of codes of 8 or 4 bits, each behind its 16 scales, biases and whole biases. */
export function codePanels(
  codes: Int32Array | CodeBytes,
  inputs: number,
  { scale, bias, whole }: Finish,
  bits: 8 | 4,
): Content {
  const outputs = scale.length;
  const rows = Math.ceil(inputs / 2) * (bits === 4 ? PANEL : 2 * PANEL);
  const panelBytes = 3 * WORD * PANEL + rows;
  const fill = (target: Uint8Array): void => {
    if ('low' in codes && bits === 8) {
      Workspace.use((work) => {
        inPortions(work, target, panelBytes, outputs, (begin, end, out) => {
          work.kernels.bytePanels(codes.at, codes.low, inputs, outputs, begin, end, out);
        });
      });
    } else {
      withValues(codes, (work, at) => {
        const four = Number(bits === 4);
        inPortions(work, target, panelBytes, outputs, (begin, end, out) => {
          work.kernels.codePanels(at, inputs, outputs, four, begin, end, out);
        });
      });
    }
    const { buffer, byteOffset, length } = target;
    const reals = new Float32Array(buffer, byteOffset, length / WORD);
    const integers = new Int32Array(buffer, byteOffset, length / WORD);
    for (let o = 0; o < outputs; o++) {
      const at = (Math.floor(o / PANEL) * panelBytes) / WORD + (o % PANEL);
      reals[at] = scale[o]!;
      reals[at + PANEL] = bias[o]!;
      integers[at + 2 * PANEL] = whole![o]!;
    }
  };
  return { bytes: Math.ceil(outputs / PANEL) * panelBytes, fill };
}
