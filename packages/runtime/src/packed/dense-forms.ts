// The weights of dense layers as the kernels take them.
import type { Address, Workspace } from '../file/workspace.ts';
import type { Dense } from './operations.ts';
import { withValues } from './with-values.ts';

const WORD = 4;
const PANEL = 16;

type Weights = Pick<Dense, 'data' | 'inputs' | 'outputs' | 'scale' | 'bias'>;

/** Calls `make` with the weights, their scales and biases in a workspace. */
function withWeights<T>(
  { data, inputs, outputs, scale, bias }: Weights,
  make: (work: Workspace, weights: [Address, number, number, Address, Address]) => T,
): T {
  return withValues(data, (work, at) =>
    make(work, [at, inputs, outputs, work.put(scale), work.put(bias)]),
  );
}

/** Weights that are not zero, and blocks of 8 outputs and one input with such a weight. */
export function countKept({ data, inputs, outputs }: Weights): { kept: number; blocks: number } {
  return withValues(data, (work, at) => {
    const counts = work.take(2 * WORD);
    work.kernels.countBlocks(at, inputs, outputs, counts);
    const [kept, blocks] = work.words(counts, 2) as unknown as [number, number];
    return { kept, blocks };
  });
}

/** The values that occur, in ascending order; undefined where they are more than `most`. */
export function distinctValues(data: Float32Array, most: number): Float32Array | undefined {
  return withValues(data, (work, at) => {
    const out = work.take(most * WORD);
    const count = work.kernels.distinctValues(at, data.length, out, most);
    return count > most ? undefined : work.floats(out, count).sort();
  });
}

/** Panels of 16 biases and then 16 weights of each input, with `more` rows of zeros. */
export function floatPanels(weights: Weights, more: number): Float32Array {
  return withWeights(weights, (work, operands) => {
    const { inputs, outputs } = weights;
    const length = Math.ceil(outputs / PANEL) * PANEL * (1 + inputs + more);
    const out = work.zeros(length * WORD);
    work.kernels.floatPanels(...operands, more, out);
    return work.floats(out, length);
  });
}

/** Lists of the weights of each output that are not zero. */
export function listsOfOutputs(weights: Weights): Float32Array {
  return withWeights(weights, (work, operands) => {
    const [data, inputs, outputs] = operands;
    const [starts, places] = [work.take(outputs * WORD), work.take(outputs * WORD)];
    const length = work.kernels.listStarts(data, inputs, outputs, starts, places);
    const out = work.zeros(length * WORD);
    work.kernels.fillLists(...operands, starts, places, out);
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
  codes: Int32Array;
  /** The smallest and the largest, and 0: whether a kernel holds them. */
  least: number;
  most: number;
}

/** round(value / step) with a step for each output, the last axis. */
export function wholeCodes(data: Float32Array, steps: Float32Array): WholeCodes {
  return withValues(data, (work, at) => {
    const { length } = data;
    const [range, divisors] = [work.take(2 * WORD), work.put(steps)];
    const codes = work.take(length * WORD);
    work.kernels.wholeCodes(at, length, divisors, steps.length, codes, range);
    const [least, most] = work.words(range, 2) as unknown as [number, number];
    return { codes: work.words(codes, length).slice(), least, most };
  });
}

/** The largest sum of magnitudes of the codes of an output. */
export function largestSum(codes: Int32Array, outputs: number): number {
  return withValues(codes, (work, at) => {
    const sums = work.zeros(2 * WORD * outputs);
    work.kernels.columnSums(at, codes.length, outputs, sums);
    const all = new Float64Array(work.bytes(sums, 2 * WORD * outputs).slice().buffer);
    return all.reduce((most, sum) => Math.max(most, sum), 0);
  });
}

/** Panels of codes of 8 or 4 bits, each behind room for 16 scales, biases and whole biases. */
export function codePanels(
  codes: Int32Array,
  inputs: number,
  outputs: number,
  bits: 8 | 4,
): Uint8Array {
  return withValues(codes, (work, at) => {
    const rows = Math.ceil(inputs / 2) * (bits === 4 ? PANEL : 2 * PANEL);
    const length = Math.ceil(outputs / PANEL) * (3 * WORD * PANEL + rows);
    const out = work.zeros(length);
    work.kernels.codePanels(at, inputs, outputs, bits === 4 ? 1 : 0, out);
    return work.bytes(out, length).slice();
  });
}
