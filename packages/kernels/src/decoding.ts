// What reads a .thimble file, compiled: a module of its own, of a few kilobytes, which needs no SIMD. An engine that has
// just started runs it a hundred times faster than JavaScript, which it still interprets.
import { BackendError } from '@thimble/base';
import { plain } from '#decoding-wasm';
import { decodeModule } from './module.ts';
import type { Pointer } from './sizes.ts';

/**
 * The signatures of the compiled functions. Codes, symbols, places and floats are words of 4 bytes; sizes are counts of
 * them. They trust the caller with addresses and counts, and no content of the memory makes them leave what they
 * were given.
 */
export interface DecodingKernels {
  /** Fills the tables of the arithmetic coder; see {@link DECODING_BYTES}. */
  prepare(tables: Pointer): void;
  /** The bytes of a description, from an arithmetic code. */
  textBytes(coder: Pointer, tables: Pointer, model: Pointer, out: Pointer, count: number): void;
  /** Rows of codes, from an arithmetic code: 0, or 1 where it ends too early, 2 where a code is too large. */
  codeRows(
    coder: Pointer,
    tables: Pointer,
    model: Pointer,
    codes: Pointer,
    kept: Pointer,
    classes: Pointer,
    near: Pointer,
    from: number,
    to: number,
    columns: number,
    lag: number,
  ): number;
  /** The table of a Huffman code; returns the longest length, or 0 for lengths that are no prefix code. */
  huffmanTable(lengths: Pointer, symbols: number, table: Pointer, counts: Pointer): number;
  /** Symbols of a Huffman code plus `low`, with `narrow` a byte each: 1, or 0 where the bytes end too early. */
  huffmanSymbols(
    from: Pointer,
    end: Pointer,
    table: Pointer,
    longest: number,
    out: Pointer,
    count: number,
    low: number,
    narrow: number,
  ): number;
  /** Numbers of `width` bits plus `low`: 1 where all are below `symbols`. */
  packedSymbols(
    from: Pointer,
    width: number,
    out: Pointer,
    count: number,
    low: number,
    symbols: number,
  ): number;
  /** From gaps to places, with `outputs` numbered output by output: 1 where all are below `size`. */
  gapPlaces(places: Pointer, count: number, size: number, outputs: number): number;
  /** The places of the bits that are set; returns how many. */
  bitPlaces(bits: Pointer, size: number, places: Pointer): number;
  /** The places of the words that are not 0; returns how many. */
  keptPlaces(codes: Pointer, size: number, places: Pointer): number;
  /** N:M: from places within runs to places: 1 where all lie in their runs. */
  runPlaces(
    places: Pointer,
    outer: number,
    along: number,
    stride: number,
    length: number,
    kept: number,
  ): number;
  /** The places of the runs whose bit is set; returns how many. */
  blockPlaces(
    bits: Pointer,
    places: Pointer,
    outer: number,
    along: number,
    stride: number,
    length: number,
  ): number;
  /** Puts words in their places. */
  scatter(places: Pointer, values: Pointer, count: number, out: Pointer): void;
  /** Scale times code, in place; one scale for `repeat` codes. */
  scaled(codes: Pointer, size: number, scales: Pointer, slices: number, repeat: number): void;
  /** As scaled, a scale for each run of `group` entries along an axis. */
  groupScaled(
    codes: Pointer,
    size: number,
    scales: Pointer,
    along: number,
    inner: number,
    group: number,
  ): void;
  /** Values from tables, in place: 1 where every code is in its own. */
  lookedUp(codes: Pointer, size: number, rows: Pointer, slices: number, repeat: number): number;
  /** Powers of two, in place. */
  powers(codes: Pointer, size: number, top: number): void;
  /** Floats from halves. */
  halves(from: Pointer, count: number, out: Pointer): void;
  /** How many bytes are `value`. */
  countBytes(from: Pointer, size: number, value: number): number;
  /** How many floats are not 0; a byte for each in `mask`, unless that is 0. */
  countKept(data: Pointer, size: number, mask: Pointer): number;

  /** Words: weights of a dense layer that are not 0, and blocks of 8 outputs of an input with such a weight. */
  countBlocks(data: Pointer, inputs: number, outputs: number, counts: Pointer): void;
  /** The values that occur, `most` at most; returns how many, or `most` + 1. */
  distinctValues(data: Pointer, size: number, out: Pointer, most: number): number;
  /** Panels of floats for `gemv`, of the outputs from `begin` to `end`, with `more` rows of zeros. */
  floatPanels(...args: [...Scaled, more: number, begin: number, end: number, out: Pointer]): void;
  /** Where the list of each output begins; returns the words of all. */
  listStarts(
    data: Pointer,
    inputs: number,
    outputs: number,
    starts: Pointer,
    places: Pointer,
  ): number;
  /** Lists for `gemvList`. */
  fillLists(...args: [...Scaled, starts: Pointer, places: Pointer, out: Pointer]): void;
  /** As countBlocks, listStarts and fillLists, of the values at ascending places; all others are 0. */
  keptBlocks(...args: [...Kept, outputs: number, counts: Pointer]): void;
  keptStarts(...args: [...Kept, outputs: number, starts: Pointer, lengths: Pointer]): number;
  fillKept(
    ...args: [
      ...Kept,
      outputs: number,
      scale: Pointer,
      bias: Pointer,
      starts: Pointer,
      lengths: Pointer,
      out: Pointer,
    ]
  ): void;
  /** How many inputs each block of 8 outputs keeps; returns the words of all blocks. */
  blockSizes(data: Pointer, inputs: number, outputs: number, sizes: Pointer): number;
  /** Blocks for `gemvSparse`. */
  fillBlocks(...args: [...Scaled, sizes: Pointer, out: Pointer]): void;
  /** Panels of numbers of values for `gemvCodebook`. */
  numberPanels(...args: [...Scaled, values: Pointer, out: Pointer]): void;
  /** The whole numbers behind values with a step for each output; `range` gets the smallest and the largest. */
  wholeCodes(
    data: Pointer,
    size: number,
    steps: Pointer,
    outputs: number,
    codes: Pointer,
    range: Pointer,
  ): void;
  /** Sums of the magnitudes of each output's codes, as f64. */
  columnSums(codes: Pointer, size: number, outputs: number, sums: Pointer): void;
  /** Panels of codes for `gemvInt`, with `four` for `gemvInt4`, of the outputs from `begin` to `end`, each behind 192 bytes. */
  codePanels(
    codes: Pointer,
    inputs: number,
    outputs: number,
    four: number,
    begin: number,
    end: number,
    out: Pointer,
  ): void;
  /** As codePanels for `gemvInt`, from codes of a byte each that stand for so many more than `low`. */
  bytePanels(
    codes: Pointer,
    low: number,
    inputs: number,
    outputs: number,
    begin: number,
    end: number,
    out: Pointer,
  ): void;
  /** Adds the entries of a convolution's lists of one output each, and of two. */
  countEntries(
    data: Pointer,
    outputs: number,
    first: Pointer,
    second: Pointer,
    cells: number,
    one: Pointer,
    two: Pointer,
  ): void;
  /** Writes those entries: floats, or where `scale` is 0 pairs of whole numbers. */
  fillEntries(
    data: Pointer,
    outputs: number,
    delta: Pointer,
    first: Pointer,
    second: Pointer,
    cells: number,
    scale: Pointer,
    group: number,
    channelStep: number,
    repeat: number,
    next: Pointer,
    out: Pointer,
  ): void;
}

/** The weights of a dense layer, [input, output], and what its sums are multiplied by and added to. */
export type Scaled = [
  data: Pointer,
  inputs: number,
  outputs: number,
  scale: Pointer,
  bias: Pointer,
];

/** Values that are kept, and their places among all. */
export type Kept = [places: Pointer, values: Pointer, count: number];

/** Bytes that {@link DecodingKernels} needs beside what it reads and makes. */
export interface DecodingBytes {
  tables: number;
  coder: number;
  /** Of the model of descriptions. */
  text: number;
  /** Of the model of codes; and 4 more for every column. */
  codes: number;
  /** Of the table of a Huffman code, and of counts to make it. */
  huffman: number;
  counts: number;
}

/** See {@link DecodingBytes}. */
export const DECODING_BYTES: DecodingBytes = {
  tables: 18_528,
  coder: 20,
  text: 4 * 24_580,
  codes: 4 * 2932,
  huffman: 2 << 14,
  counts: 128,
};

let compiled: WebAssembly.Module | undefined;

/**
 * The functions on a memory of their own: they keep nothing between calls and never grow it.
 *
 * @throws BackendError where the engine has no WebAssembly.
 * @example
 * import { decodingKernels } from '@thimble/kernels/decoding';
 * const memory = new WebAssembly.Memory({ initial: 1 });
 * const kernels = decodingKernels(memory);
 * const words = new Int32Array(memory.buffer);
 * words.set([0, 1, 1], 256); // gaps at byte 1024
 * kernels.gapPlaces(1024, 3, 10, 0);
 * console.log(words.subarray(256, 259)); // 0, 2, 4
 */
export function decodingKernels(memory: WebAssembly.Memory): DecodingKernels {
  try {
    compiled ??= new WebAssembly.Module(decodeModule(plain));
    const { exports } = new WebAssembly.Instance(compiled, { env: { memory } });
    return exports as unknown as DecodingKernels;
  } catch (cause) {
    throw new BackendError(
      'Files cannot be read: this engine has no WebAssembly, or a policy forbids it (on a page, allow "wasm-unsafe-eval").',
      { cause },
    );
  }
}
