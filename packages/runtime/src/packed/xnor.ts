// Binary layers: products of signs. Convolutions by sums of subsets, dense layers as words of bits.

import { subsetSize } from './choices.ts';
import { cellsOf, type Kernel, listsOf } from './lists.ts';
import type { Conv, Dense } from './operations.ts';
import { type Planes, phasesOf, planesOf, readable, tableOf } from './planes.ts';
import type { Program } from './program.ts';
import { planeStep } from './values.ts';
import type { Window } from './windows.ts';

const INFINITE = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY] as const;
/** The most that a byte holds of a sum. */
const BYTE = 127;
/** Bytes that a row of signs may take more than it has. */
const ROW = 16;
/** Pixels that the kernel reads at once. */
const TILE = 64;
/** Bytes of sums that are made before they are added: what caches and the translation of addresses hold. */
const NEAR = 300_000;

/** Planes of sums, by phase, group of channels and pattern of signs; a tap of the window is a place in them. */
interface Subsets {
  /** Channels of a group, and planes that it has. */
  size: number;
  patterns: number;
  groups: number;
  /** Bytes from plane to plane. */
  step: number;
  taps: { phase: number; place: number }[];
}

/** A convolution of signs; `magnitudes` are those of the weights of each output. */
export function emitXnor(program: Program, conv: Conv, magnitudes: Float32Array): void {
  const { input, kernel, window, output, low, high, bias } = conv;
  const signs = conv.signs!;
  const phases = phasesOf(conv);
  const size = subsetSize(conv);
  const groups = Math.ceil(kernel.inputs / size);
  const { pitch } = output.layout;
  const step = bytesOf(phases.rows * pitch + Math.max(ROW, window.right));
  const x = program.piece(groups * size * phases.count * step);
  const missing = (groups * size - kernel.inputs) * phases.count;
  program.call(
    'signPlanes',
    ...[input.origin, input.step, input.pitch, { piece: x, offset: 0 }, step, pitch],
    ...[kernel.inputs, ...phases.sizes],
    ...[program.weights(tableOf(signs.scale, signs.shift)), missing],
  );
  // In bands of rows, so that the sums are still near when they are added.
  const taps = tapsOf(window, pitch);
  const reach = Math.max(...taps.map(({ place }) => place));
  const patterns = 2 ** (size - 1);
  const planes = groups * patterns;
  const tiles = Math.ceil((16 * output.strips) / TILE);
  const most = Math.max(1, Math.floor((NEAR / (planes * phases.count) - reach) / TILE));
  const band = Math.ceil(tiles / Math.ceil(tiles / most));
  const sumStep = bytesOf(band * TILE + reach);
  const sums = program.piece(planes * phases.count * sumStep);
  const scale = conv.scale.map((factor, o) => factor * magnitudes[o]!);
  const shift = signs.magnitude ? new Float32Array(kernel.outputs) : bias;
  const subsets = { size, patterns, groups, step: sumStep, taps };
  const lists = program.weights(subsetLists(kernel, subsets, scale, shift));
  const cut = signs.magnitude ? INFINITE : ([low, high] as const);
  for (let first = 0; first < tiles; first += band) {
    const pixels = Math.min(16 * output.strips - first * TILE, band * TILE);
    const bytes = Math.ceil(pixels / TILE) * TILE + reach;
    for (let phase = 0; phase < phases.count; phase++) {
      const from = { piece: x, offset: phase * step + first * TILE };
      const to = { piece: sums, offset: phase * planes * sumStep };
      program.call('subsetPlanes', from, phases.count * step, to, sumStep, groups, size, bytes);
    }
    const y = { ...output.origin, offset: output.origin.offset + 4 * first * TILE };
    program.call(
      'xnorPlanes',
      ...[{ piece: sums, offset: 0 }, lists, y, output.step],
      ...[kernel.outputs, pixels / 16, Math.floor(BYTE / size), ...cut],
    );
  }
  if (signs.magnitude) emitMagnitude(program, conv);
}

/** Bytes from plane to plane, for planes of so many. */
function bytesOf(bytes: number): number {
  return 4 * planeStep(Math.ceil(bytes / 4));
}

/** Where the taps of a window lie, for rows of `pitch` bytes. */
function tapsOf(window: Window, pitch: number): Subsets['taps'] {
  const { height, width, strideHeight, strideWidth, dilationHeight, dilationWidth } = window;
  return Array.from({ length: height * width }, (_, tap) => {
    const h = Math.floor(tap / width) * dilationHeight;
    const w = (tap % width) * dilationWidth;
    return {
      phase: (h % strideHeight) * strideWidth + (w % strideWidth),
      place: Math.floor(h / strideHeight) * pitch + Math.floor(w / strideWidth),
    };
  });
}

/** The lists of `xnorPlanes`: for every output the planes that it adds, then those that it subtracts. */
function subsetLists(
  { data, inputs, outputs }: Kernel,
  { size, patterns, groups, step, taps }: Subsets,
  scale: Float32Array,
  bias: Float32Array,
): Uint32Array {
  const [head, entries] = [4, taps.length * groups];
  const words = new Uint32Array(outputs * (head + entries));
  const reals = new Float32Array(words.buffer);
  const subtracted = new Uint32Array(entries);
  for (let o = 0; o < outputs; o++) {
    const list = o * (head + entries);
    let at = list + head;
    let count = 0;
    for (let group = 0; group < groups; group++) {
      const first = group * size;
      const end = Math.min(inputs, first + size);
      for (const [tap, { phase, place }] of taps.entries()) {
        const from = (tap * inputs + first) * outputs + o;
        const negative = data[from]! < 0;
        let pattern = 0;
        for (let c = 1; c < end - first; c++) {
          if (data[from + c * outputs]! < 0 !== negative) pattern |= 1 << (c - 1);
        }
        const delta = ((phase * groups + group) * patterns + pattern) * step + place;
        if (negative) subtracted[count++] = delta;
        else words[at++] = delta;
      }
    }
    words[list] = 4 * (entries - count);
    words[list + 1] = 4 * entries;
    reals[list + 2] = scale[o]!;
    reals[list + 3] = bias[o]!;
    words.set(subtracted.subarray(0, count), at);
  }
  return words;
}

/** The mean magnitude of the inputs in each window, by which the sums are multiplied; then bias and cut. */
export function emitMagnitude(program: Program, conv: Conv): void {
  const { input, window, output, low, high, bias, signs } = conv;
  const table = program.weights(tableOf(signs!.scale, signs!.shift));
  const { layout, channels } = input;
  const start = { piece: program.piece(4 * layout.step), offset: 0 };
  program.call('meanSize', input.start, input.step, start, channels, layout.step, table);
  const one: Planes = {
    ...planesOf(input),
    start,
    origin: { ...start, offset: input.origin.offset },
    count: 1,
  };
  const read = readable(program, conv, one);
  const { height, width } = window;
  const data = new Float32Array(height * width).fill(1 / (height * width));
  const box = { data, height, width, inputs: 1, outputs: 1, separate: false };
  const source = {
    step: 4 * read.step,
    pitch: 4 * read.pitch,
    phases: read !== one,
    halves: 'none',
  } as const;
  const finish = { scale: Float32Array.of(1), bias: Float32Array.of(0) };
  const lists = program.weights(listsOf(box, cellsOf(box, window, source), 1, finish));
  const plane = { piece: program.piece(64 * output.strips), offset: 0 };
  program.call('convSeparate', read.origin, lists, plane, 0, 1, output.strips, ...INFINITE);
  const shift = program.weights(tableOf(new Float32Array(bias.length), bias));
  const pixels = 16 * output.strips;
  program.call(
    'multiplyPlanes',
    ...[output.origin, output.step, output.channels, pixels, plane, shift, low, high],
  );
}

/** Bits of weights, 1 for a negative one: [word, output]. */
function wordsOf(data: Float32Array, inputs: number, outputs: number): Uint32Array {
  const words = new Uint32Array(Math.ceil(inputs / 32) * outputs);
  for (let i = 0; i < inputs; i++) {
    const [from, to] = [i * outputs, (i >> 5) * outputs];
    for (let o = 0; o < outputs; o++) if (data[from + o]! < 0) words[to + o]! |= 1 << (i & 31);
  }
  return words;
}

/** A dense layer of signs. */
export function emitXnorDense(program: Program, dense: Dense, size: Float32Array): void {
  const { input, inputs, outputs, weight, output, low, high, scale, bias } = dense;
  const signs = dense.signs!;
  const words = Math.ceil(inputs / 32);
  const x = { piece: program.piece(4 * words), offset: 0 };
  const table = program.weights(tableOf(signs.scale, signs.shift));
  program.call('signVector', input.start, x, inputs, table);
  const bits = wordsOf(weight.data, inputs, outputs);
  const panels = Math.ceil(outputs / 16);
  const packed = new Uint32Array(panels * (32 + 16 * words));
  const reals = new Float32Array(packed.buffer);
  for (let o = 0; o < outputs; o++) {
    const panel = Math.floor(o / 16) * (32 + 16 * words);
    reals[panel + (o % 16)] = size[o]! * scale[o]!;
    reals[panel + 16 + (o % 16)] = signs.magnitude ? 0 : bias[o]!;
    for (let i = 0; i < words; i++) packed[panel + 32 + 16 * i + (o % 16)] = bits[i * outputs + o]!;
  }
  const cut = signs.magnitude ? INFINITE : ([low, high] as const);
  const w = program.weights(packed);
  program.call('xnorGemv', x, w, output.start, words, panels, ...cut, inputs);
  if (signs.magnitude) emitDenseMagnitude(program, dense);
}

/** The mean magnitude of the inputs, by which the sums are multiplied; then bias and cut. */
export function emitDenseMagnitude(program: Program, dense: Dense): void {
  const { input, inputs, outputs, output, low, high, bias, signs } = dense;
  const table = program.weights(tableOf(signs!.scale, signs!.shift));
  const panels = Math.ceil(outputs / 16);
  // The mean magnitude, in as many copies as there are outputs, times the sums.
  const mean = { piece: program.piece(64), offset: 0 };
  program.call('meanSize', input.start, 4, mean, inputs, 1, table);
  const copies = { piece: program.piece(64 * panels), offset: 0 };
  const ones = new Float32Array(32 * panels);
  for (let panel = 0; panel < panels; panel++) ones.fill(1, 32 * panel + 16, 32 * panel + 32);
  program.call('gemv', mean, program.weights(ones), copies, 1, panels, ...INFINITE);
  const shift = new Float32Array(16 * panels);
  shift.set(bias);
  const values = [output.start, output.start, 16 * panels] as const;
  program.call('scaleVector', ...values, copies, program.weights(shift), low, high);
}
