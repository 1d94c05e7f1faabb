// Which kernel a layer gets: the one that should take the fewest cycles, by a model fitted to measurements.
import { type Encoding, sizeOf } from '@thimble/base';
import { countKept, distinctValues, type WholeCodes, wholeCodes } from './dense-forms.ts';
import { type Cells, cellsOf, countEntries, type Kernel } from './lists.ts';
import type { Conv, Dense } from './operations.ts';
import { isPadded } from './windows.ts';

/** A kernel for a convolution. */
export type ConvChoice =
  | 'pairs'
  | 'singles'
  | 'separate'
  | 'pairsInt'
  | 'singlesInt'
  | 'separateInt'
  | 'xnor';
/** A kernel for a dense layer. */
export type DenseChoice =
  | 'gemv'
  | 'skip'
  | 'blocks'
  | 'list'
  | 'codebook'
  | 'int8'
  | 'int4'
  | 'xnor';
export type Choice = ConvChoice | DenseChoice;

/** A kernel that a layer may have, and the cycles that it should take for one example. */
export interface Candidate<C extends Choice = Choice> {
  choice: C;
  cycles: number;
}

/**
 * Cycles, fitted to medians on AMD Zen 3 (Node 20, plain SIMD): of an entry of a list for a strip of 16 pixels,
 * of a list for a strip, and of a value that is coded, signed or streamed once.
 */
const PAIR = 4.9;
const SINGLE = 3.8;
const LIST = 8;
const CODE = 1.1;
const SIGN = 0.5;
/**
 * Of a strip of a plane of sums of signs, on AMD Zen 5: to add it to an output, for groups of so many channels
 * (more planes lie further away), and to make it.
 */
const ADD = { 4: 0.75, 6: 0.9 } as const;
const MAKE = 1.1;
/**
 * Of an input of a dense layer for 16 outputs: floats, floats beyond the second-level cache and beyond all, integers; of a
 * kept block of 8, of one weight in a list, and of 16 numbers of values.
 */
const ROW = 2.5;
const ROW_FAR = 4.2;
const ROW_FARTHEST = 8;
const ROW_INT = 3.4;
const BLOCK = 2.4;
const LISTED = 1.25;
const NUMBERS = 4.2;
/** Floats that the second-level cache holds, and those that no cache does. */
const NEAR = 120_000;
const FARTHEST = 2_000_000;
/** Share of inputs that are not zero behind a ReLU. */
const NOT_ZERO = 0.55;

/** Whole numbers behind weights. */
interface Codes extends WholeCodes {
  /** The step of each output. */
  scale: Float32Array;
}

const known = new WeakMap<Conv | Dense, Codes | undefined>();

/** Whole numbers behind the weights, where they are that; found once for each operation. */
export function codesOf(operation: Conv | Dense): Codes | undefined {
  if (!known.has(operation)) known.set(operation, findCodes(operation));
  return known.get(operation);
}

function findCodes(operation: Conv | Dense): Codes | undefined {
  const { encoding } = operation;
  const { values, shape } = encoding;
  const data = operation.kind === 'conv' ? operation.kernel.data : operation.weight;
  const outputs = operation.kind === 'conv' ? operation.kernel.outputs : operation.outputs;
  if (values.type !== 'affine' || values.bits > 8 || values.group !== undefined) return undefined;
  const { axis, scale } = values;
  if (axis !== null && axis !== shape.length - 1 && axis !== shape.length - 2) return undefined;
  const separate = operation.kind === 'conv' && operation.kernel.separate;
  if (axis === shape.length - 2 && !separate) return undefined;
  const repeat = axis === null ? outputs : outputs / scale.length;
  const steps = Float32Array.from(
    { length: outputs },
    (_, o) => scale[axis === null ? 0 : Math.floor(o / repeat)]!,
  );
  return { ...wholeCodes(data, steps), scale: steps };
}

/** The signs behind the weights of a binary layer, where none of them is zero. */
export function signsOf(operation: Conv | Dense): Float32Array | undefined {
  const { encoding, signs } = operation;
  if (!signs || encoding.values.type !== 'binary') return undefined;
  const data = operation.kind === 'conv' ? operation.kernel.data : operation.weight.data;
  const outputs = operation.kind === 'conv' ? operation.kernel.outputs : operation.outputs;
  const scale = new Float32Array(outputs);
  for (let i = 0; i < data.length; i++) {
    const size = Math.abs(data[i]!);
    const o = i % outputs;
    if (size === 0) return undefined;
    if (i < outputs) scale[o] = size;
    else if (scale[o] !== size) return undefined;
  }
  return scale;
}

/** The most signs in a sum that 16 bits hold. */
const MOST_SIGNS = 32_767;

/** Cycles for a strip of a binary convolution with groups of `size` channels. */
function costOfSums({ kernel, window }: Conv, size: 4 | 6): number {
  const groups = Math.ceil(kernel.inputs / size);
  const added = kernel.outputs * kernel.height * kernel.width * groups;
  const made = groups * 2 ** (size - 1) * window.strideHeight * window.strideWidth;
  return added * ADD[size] + made * MAKE;
}

/** Channels of a group whose sums a binary convolution makes: more of them where many outputs add them. */
export function subsetSize(conv: Conv): 4 | 6 {
  return costOfSums(conv, 6) < costOfSums(conv, 4) ? 6 : 4;
}

/** Values of weights that a kernel tells apart. */
const MOST_VALUES = 16;

/** The values of a dense layer with a codebook, in ascending order, where they are no more than a kernel holds. */
export function sharedValues({ weight, encoding }: Dense): Float32Array | undefined {
  if (encoding.values.type !== 'codebook') return undefined;
  return distinctValues(weight, MOST_VALUES);
}

/** The kernels that a convolution may have. */
export function convCandidates(operation: Conv): Candidate<ConvChoice>[] {
  const { kernel, window, codes, output, signs } = operation;
  const strips = output.strips;
  const outputs = kernel.outputs;
  const signsOfSum = kernel.height * kernel.width * kernel.inputs;
  if (signsOf(operation) && !kernel.separate && signsOfSum <= MOST_SIGNS) {
    const sums = costOfSums(operation, subsetSize(operation));
    const cycles = strips * (sums + outputs * LIST);
    return [{ choice: 'xnor', cycles: cycles + operation.input.extent * SIGN }];
  }
  const source = { step: 0x10000, pitch: 0x100, phases: !isDirect(operation) } as const;
  const real = cellsOf(kernel, window, { ...source, halves: 'none' });
  const candidates: Candidate<ConvChoice>[] = [];
  const whole = signs ? undefined : codesOf(operation);
  if (!codes) {
    const { one, two } = isFull(operation.encoding)
      ? fullLists(kernel, real)
      : countEntries(kernel, real);
    const singles = sum(one) * SINGLE + outputs * LIST;
    if (kernel.separate) candidates.push({ choice: 'separate', cycles: strips * singles });
    else {
      const pairs = sum(two) * PAIR + outputs * LIST;
      candidates.push({ choice: 'pairs', cycles: strips * pairs });
      candidates.push({ choice: 'singles', cycles: strips * singles });
    }
  }
  if (whole) {
    const halves = kernel.separate ? 'neighbours' : 'planes';
    const cells: Cells = cellsOf(kernel, window, { ...source, halves });
    const coding = operation.input.extent * CODE;
    const { one, two } = countEntries(kernel, cells);
    const singles = sum(one) * SINGLE + outputs * LIST;
    if (kernel.separate) {
      candidates.push({ choice: 'separateInt', cycles: strips * singles + 2 * coding });
    } else {
      const pairs = sum(two) * PAIR + outputs * LIST;
      candidates.push({ choice: 'pairsInt', cycles: strips * pairs + coding });
      candidates.push({ choice: 'singlesInt', cycles: strips * singles + coding });
    }
  }
  return candidates.length > 0 ? candidates : convCandidates(withoutCodes(operation));
}

/** The kernels that a dense layer may have. */
export function denseCandidates(operation: Dense): Candidate<DenseChoice>[] {
  const { inputs, outputs, codes, signs, someZero } = operation;
  const panels = Math.ceil(outputs / 16);
  if (signsOf(operation)) return [{ choice: 'xnor', cycles: (inputs / 32) * panels * 40 }];
  const candidates: Candidate<DenseChoice>[] = [];
  const whole = signs ? undefined : codesOf(operation);
  if (!codes) {
    const size = inputs * outputs;
    const row = size > FARTHEST ? ROW_FARTHEST : size > NEAR ? ROW_FAR : ROW;
    candidates.push({ choice: 'gemv', cycles: panels * inputs * row });
    if (someZero) {
      const cycles = inputs * (2 + NOT_ZERO * panels * row * 1.15);
      candidates.push({ choice: 'skip', cycles });
    }
    if (!signs && sharedValues(operation)) {
      candidates.push({ choice: 'codebook', cycles: panels * inputs * NUMBERS });
    }
    if (!isFull(operation.encoding)) {
      const { kept, blocks } = countKept(operation);
      candidates.push({ choice: 'blocks', cycles: blocks * BLOCK + (outputs / 8) * LIST });
      candidates.push({ choice: 'list', cycles: kept * LISTED + outputs * LIST });
    }
  }
  if (whole && whole.least >= -128 && whole.most <= 127) {
    const cycles = inputs * (2 + (panels / 2) * ROW_INT);
    if (operation.encoding.values.bits <= 4 && whole.least >= -8 && whole.most <= 7) {
      candidates.push({ choice: 'int4', cycles: cycles * 1.5 });
    }
    candidates.push({ choice: 'int8', cycles });
  }
  return candidates.length > 0 ? candidates : denseCandidates(withoutCodes(operation));
}

/** Whether so few weights are zero that leaving them out gains nothing. */
function isFull({ nonzero, shape }: Encoding): boolean {
  return nonzero > 0.95 * sizeOf(shape);
}

/** What `countEntries` counts where no weight is zero. */
function fullLists({ outputs }: Kernel, { delta }: Cells): ReturnType<typeof countEntries> {
  const full = (length: number): Uint32Array => new Uint32Array(length).fill(delta.length);
  return { one: full(outputs), two: full(Math.ceil(outputs / 2)) };
}

function sum(counts: Uint32Array): number {
  return counts.reduce((total, count) => total + count, 0);
}

function withoutCodes<O extends Conv | Dense>({ codes, ...operation }: O): O {
  return operation as O;
}

/** Whether a convolution reads its input's planes where they are, without a copy with padding and phases. */
export function isDirect({ window, signs }: Conv): boolean {
  return window.strideHeight === 1 && window.strideWidth === 1 && !(signs && isPadded(window));
}

/** The least costly candidate; the first of equals. */
export function cheapest<C extends Choice>(candidates: readonly Candidate<C>[]): Candidate<C> {
  return candidates.reduce((best, next) => (next.cycles < best.cycles ? next : best));
}
