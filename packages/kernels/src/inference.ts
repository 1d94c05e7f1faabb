// The kernels of packed networks: a module of their own, so that a page that only runs a network loads no more.
import { BackendError } from '@thimble/base';
import { plain, relaxed } from '#inference-wasm';
import { decodeModule, hasRelaxedSimd, withSharedMemory } from './module.ts';
import type { Pointer } from './sizes.ts';

export { hasRelaxedSimd } from './module.ts';
export type { Pointer } from './sizes.ts';

/**
 * The signatures of the compiled kernels; the formulas stand in assembly/inference. `Step`, `Pitch` and `bytes`
 * are bytes, all other sizes are values or pixels; flags are 0 or 1. Nothing is checked: a kernel trusts
 * its caller. It may read, but never uses, up to a strip of 64 bytes past the end of an operand, and a
 * stream as far as its largest delta reaches.
 *
 * An image is planes, one per channel: rows `Pitch` bytes apart, planes `Step` bytes apart. A convolution reads
 * and writes planes of one pitch as runs of `strips` times 16 pixels; see assembly/inference/stream.ts for its lists.
 */
export interface InferenceKernels {
  /** Two outputs to a list: y = cut(bias + sum of w x[delta] + residual, low, high). */
  convPairs(...args: StreamArgs): void;
  /** One output to a list. */
  convSingles(...args: StreamArgs): void;
  /**
   * As convPairs, of pairs of i16: y = cut(scale (step at `steps`) (whole bias + sum) + bias + residual). Where `next` is
   * given, y are the codes of the layer behind: its step, lowest and highest code, and 1 (u32) if each output has a
   * plane of its own, with codes in the low halves; else outputs 2 o and 2 o + 1 are the halves of plane o.
   */
  convPairsInt(...args: [...StreamArgs, steps: Pointer, next: Pointer]): void;
  /** As convPairsInt, one output to a list. */
  convSinglesInt(...args: [...StreamArgs, steps: Pointer, next: Pointer]): void;
  /** As convSingles, output by output, without residual. */
  convSeparate(...args: SeparateArgs): void;
  /** As convSinglesInt, output by output, without residual. */
  convSeparateInt(...args: [...SeparateArgs, steps: Pointer, next: Pointer]): void;

  /** 16 outputs to a panel: y = cut(bias + x W, low, high). */
  gemv(
    x: Pointer,
    w: Pointer,
    y: Pointer,
    k: number,
    panels: number,
    low: number,
    high: number,
  ): void;
  /** As gemv, without the inputs that are zero; `list` has room for 8 (k + 1) bytes. */
  gemvSkip(
    x: Pointer,
    w: Pointer,
    y: Pointer,
    k: number,
    panels: number,
    low: number,
    high: number,
    list: Pointer,
  ): void;
  /** 8 outputs to a block, which keeps some of the inputs. */
  gemvSparse(x: Pointer, w: Pointer, y: Pointer, blocks: number, low: number, high: number): void;
  /** One output to a list of inputs. */
  gemvList(x: Pointer, w: Pointer, y: Pointer, n: number, low: number, high: number): void;
  /** 16 outputs to a panel, weights of 16 values: y = cut(scale (x W) + bias, low, high). */
  gemvCodebook(
    x: Pointer,
    w: Pointer,
    y: Pointer,
    k: number,
    panels: number,
    low: number,
    high: number,
    table: Pointer,
  ): void;
  /** y = cut(scale (step at `steps`) (whole bias + x W) + bias), x `k2` pairs of i16, W of i8. */
  gemvInt(...args: GemvIntArgs): void;
  /** As gemvInt, W of 4 bits. */
  gemvInt4(...args: GemvIntArgs): void;

  /** Signs of scale x + shift as bytes, padded and split by phases; then `more` planes of zeros. */
  signPlanes(...args: [...PhaseArgs, table: Pointer, more: number]): void;
  /** Of every `size` (4 or 6) planes of bytes the sums with every combination of signs. */
  subsetPlanes(
    x: Pointer,
    xStep: number,
    y: Pointer,
    yStep: number,
    groups: number,
    size: number,
    bytes: number,
  ): void;
  /** y = cut(scale (bytes x[delta], added or subtracted) + bias, low, high), an output to a list. */
  xnorPlanes(...args: [...ListArgs, chunk: number, low: number, high: number]): void;
  /** Words of the signs of a vector. */
  signVector(x: Pointer, y: Pointer, n: number, table: Pointer): void;
  /** 16 outputs to a panel: y = cut(scale (whole - 2 popcount) + bias, low, high). */
  xnorGemv(
    x: Pointer,
    w: Pointer,
    y: Pointer,
    words: number,
    panels: number,
    low: number,
    high: number,
    whole: number,
  ): void;

  /** Planes from [height, width, channels]. */
  fromImage(
    x: Pointer,
    y: Pointer,
    yStep: number,
    yPitch: number,
    channels: number,
    height: number,
    width: number,
  ): void;
  /** [height, width, channels] from planes. */
  toImage(
    x: Pointer,
    xStep: number,
    xPitch: number,
    y: Pointer,
    channels: number,
    height: number,
    width: number,
  ): void;
  /** y[r][h][w] = x[rows[r] + columns[h][w]], offsets in bytes; 0 where one is negative. */
  gather(
    x: Pointer,
    rows: Pointer,
    columns: Pointer,
    y: Pointer,
    yStep: number,
    yPitch: number,
    count: number,
    height: number,
    width: number,
  ): void;
  /** Planes with padding, split by the phases of a stride. */
  padPlanes(...args: [...PhaseArgs, filler: number]): void;
  /** Zeros around the rows of planes. */
  seal(
    y: Pointer,
    yStep: number,
    channels: number,
    front: number,
    height: number,
    width: number,
    pitch: number,
    back: number,
  ): void;
  /** The least power of two with which no magnitude of x is above `most` steps. */
  stepOf(
    x: Pointer,
    xStep: number,
    xPitch: number,
    channels: number,
    height: number,
    width: number,
    most: number,
    steps: Pointer,
  ): void;
  /** Codes round(x / step) as pairs of i16 of two channels, or `alone`, as the low halves. */
  codePlanes(
    x: Pointer,
    xStep: number,
    y: Pointer,
    yStep: number,
    channels: number,
    pixels: number,
    low: number,
    high: number,
    steps: Pointer,
    alone: number,
  ): void;
  /** Low halves of x, with that of the next number as the high half of each. */
  pairNeighbours(x: Pointer, y: Pointer, n: number): void;
  /** Codes of n values as i16, zeros up to a multiple of 8. */
  codeVector(x: Pointer, y: Pointer, n: number, low: number, high: number, steps: Pointer): void;
  /** y = step round(x / step), cut to low ... high codes. */
  roundToCodes(x: Pointer, y: Pointer, n: number, low: number, high: number, step: number): void;

  /** The largest value, or with `mean` the mean, of the part of each window that lies in x. */
  poolPlanes(
    x: Pointer,
    xStep: number,
    xPitch: number,
    y: Pointer,
    yStep: number,
    yPitch: number,
    channels: number,
    inHeight: number,
    inWidth: number,
    outHeight: number,
    outWidth: number,
    kernelHeight: number,
    kernelWidth: number,
    strideHeight: number,
    strideWidth: number,
    top: number,
    left: number,
    mean: number,
  ): void;
  /** The largest value, or with `mean` the mean, of each plane. */
  poolWhole(
    x: Pointer,
    xStep: number,
    xPitch: number,
    y: Pointer,
    channels: number,
    height: number,
    width: number,
    mean: number,
  ): void;

  /** An activation function in place, see {@link CURVES}. */
  activate(x: Pointer, n: number, kind: number, alpha: number, beta: number): void;
  /** Softmax of rows in place. */
  softmax(x: Pointer, rows: number, columns: number): void;
  /** y = cut(a ? b, low, high), see {@link COMBINATIONS}. */
  combine(
    a: Pointer,
    b: Pointer,
    y: Pointer,
    n: number,
    kind: number,
    low: number,
    high: number,
  ): void;
  /** y = cut(scale x + shift, low, high), by channel. */
  scalePlanes(
    x: Pointer,
    y: Pointer,
    step: number,
    channels: number,
    n: number,
    table: Pointer,
    low: number,
    high: number,
  ): void;
  /** y = cut(scale x + shift, low, high), by value. */
  scaleVector(
    x: Pointer,
    y: Pointer,
    n: number,
    scale: Pointer,
    shift: Pointer,
    low: number,
    high: number,
  ): void;
  /** y = mean over the channels of |scale x + shift|. */
  meanSize(
    x: Pointer,
    xStep: number,
    y: Pointer,
    channels: number,
    n: number,
    table: Pointer,
  ): void;
  /** y = cut(y plane + shift, low, high), by channel, all times one plane. */
  multiplyPlanes(
    y: Pointer,
    step: number,
    channels: number,
    n: number,
    plane: Pointer,
    table: Pointer,
    low: number,
    high: number,
  ): void;
  /** y = x. */
  copy(x: Pointer, y: Pointer, bytes: number): void;
}

/** What every kernel takes that walks lists of an output, or two. */
export type ListArgs = [
  x: Pointer,
  lists: Pointer,
  y: Pointer,
  yStep: number,
  count: number,
  strips: number,
];

/** Arguments of convPairs and convSingles. No residual where its address is 0. */
export type StreamArgs = [...ListArgs, residual: Pointer, low: number, high: number];

/** Arguments of convSeparate. */
export type SeparateArgs = [...ListArgs, low: number, high: number];

/** Arguments of gemvInt and gemvInt4. */
export type GemvIntArgs = [
  x: Pointer,
  w: Pointer,
  y: Pointer,
  k2: number,
  panels: number,
  low: number,
  high: number,
  steps: Pointer,
];

/** Arguments of padPlanes and signPlanes. */
export type PhaseArgs = [
  x: Pointer,
  xStep: number,
  xPitch: number,
  y: Pointer,
  yStep: number,
  yPitch: number,
  channels: number,
  height: number,
  width: number,
  rows: number,
  strideHeight: number,
  strideWidth: number,
  top: number,
  left: number,
];

/** What {@link InferenceKernels.activate} computes. */
export const CURVES = {
  sigmoid: 0,
  tanh: 1,
  leakyRelu: 2,
  elu: 3,
  hardSigmoid: 4,
  softsign: 5,
  swish: 6,
  selu: 7,
  sign: 8,
  gelu: 9,
  geluNew: 10,
  mish: 11,
  softplus: 12,
} as const;

/** What {@link InferenceKernels.combine} computes. */
export const COMBINATIONS = { add: 0, subtract: 1, multiply: 2, maximum: 3, minimum: 4 } as const;

/** Options of {@link inferenceModule}. */
export interface InferenceOptions {
  /** Which build: with relaxed SIMD or plain. Default: relaxed where the engine has it. */
  relaxedSimd?: boolean;
  /** For a memory that is shared between threads, of so many pages at most. Default: not shared. */
  sharedPages?: number;
}

/**
 * The compiled module of the inference kernels; {@link inferenceKernels} puts it onto a memory.
 *
 * @throws BackendError where the engine has no WebAssembly SIMD.
 * @example
 * import { inferenceKernels, inferenceModule } from '@thimble/kernels/inference';
 * const memory = new WebAssembly.Memory({ initial: 1 });
 * const kernels = inferenceKernels(await inferenceModule(), memory);
 * const values = new Float32Array(memory.buffer);
 * values.set([-1, 0, 2, 3], 256); // at byte 1024
 * kernels.softmax(1024, 2, 2);
 * console.log(values.subarray(256, 260)); // 0.269, 0.731, 0.269, 0.731
 */
export async function inferenceModule({
  relaxedSimd = hasRelaxedSimd(),
  sharedPages,
}: InferenceOptions = {}): Promise<WebAssembly.Module> {
  const bytes = decodeModule(plain, relaxedSimd ? relaxed : undefined);
  try {
    return await WebAssembly.compile(
      sharedPages === undefined ? bytes : withSharedMemory(bytes, sharedPages),
    );
  } catch (cause) {
    throw new BackendError(
      'The kernels did not compile: this engine has no WebAssembly SIMD. Use Node 20 or a browser of 2023 or later.',
      { cause },
    );
  }
}

/** The kernels on a memory. They keep nothing between calls and never grow the memory. */
export function inferenceKernels(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
): InferenceKernels {
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  return exports as unknown as InferenceKernels;
}
