// Binary layers: products of signs, as words of bits.

import { type Cells, cellsOf, listsOf } from './lists.ts';
import type { Conv, Dense } from './operations.ts';
import { type Planes, planesOf, readable, tableOf } from './planes.ts';
import type { Program } from './program.ts';
import { isPadded } from './windows.ts';

const INFINITE = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY] as const;
/** Words that a byte of counts can take: 31 times 8 bits. */
const CHUNK = 31;

/** A convolution of signs; `size` is the magnitude of the weights of each output. */
export function emitXnor(program: Program, conv: Conv, size: Float32Array): void {
  const { input, kernel, window, output, low, high, scale, bias } = conv;
  const signs = conv.signs!;
  const { channels, layout } = input;
  const count = Math.ceil(channels / 32);
  const start = { piece: program.piece(4 * count * layout.step), offset: 0 };
  const table = program.weights(tableOf(signs.scale, signs.shift));
  program.call(
    'signPlanes',
    input.start,
    input.step,
    start,
    input.step,
    channels,
    layout.step,
    table,
  );
  const words = {
    ...planesOf(input),
    start,
    origin: { ...start, offset: input.origin.offset },
    count,
  };
  const read = readable(program, conv, words);
  const bits = wordsOf(kernel.data, kernel.height * kernel.width, channels, kernel.outputs);
  const cells = cellsOf({ ...kernel, inputs: count }, window, {
    step: 4 * read.step,
    pitch: 4 * read.pitch,
    phases: read !== words,
    halves: 'none',
  });
  const chunks = Math.ceil(cells.delta.length / CHUNK);
  const total = scale.map((factor, o) => factor * size[o]!);
  const shift = signs.magnitude ? new Float32Array(kernel.outputs) : bias;
  const lists = program.weights(wordLists(bits, cells, kernel.outputs, total, shift));
  const base = { piece: program.piece(2 * 64 * output.strips), offset: 0 };
  const edges = edgesOf(conv);
  const cut = signs.magnitude ? INFINITE : ([low, high] as const);
  program.call(
    'xnorPairs',
    ...[read.origin, lists, output.origin, output.step, Math.ceil(kernel.outputs / 2), chunks],
    ...[output.strips, ...cut, kernel.height * kernel.width * channels, base, edges.count],
    ...[program.weights(edges.places), program.weights(edges.values), edges.rows],
  );
  program.readsBeyond(Math.max(0, ...cells.delta) + 4 * read.step);
  if (signs.magnitude) emitMagnitude(program, conv);
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

/** Bits of weights, 1 for a negative one: [tap, word, output]. */
function wordsOf(data: Float32Array, taps: number, channels: number, outputs: number): Uint32Array {
  const count = Math.ceil(channels / 32);
  const words = new Uint32Array(taps * count * outputs);
  for (let tap = 0; tap < taps; tap++) {
    for (let c = 0; c < channels; c++) {
      const from = (tap * channels + c) * outputs;
      const to = (tap * count + (c >> 5)) * outputs;
      for (let o = 0; o < outputs; o++) if (data[from + o]! < 0) words[to + o]! |= 1 << (c & 31);
    }
  }
  return words;
}

/** The lists of `xnorPairs`: of every two outputs, parts of at most 31 words. */
function wordLists(
  bits: Uint32Array,
  { delta, first }: Cells,
  outputs: number,
  scale: Float32Array,
  bias: Float32Array,
): Uint32Array {
  const chunks = Math.ceil(delta.length / CHUNK);
  const pairs = Math.ceil(outputs / 2);
  const words = new Uint32Array(pairs * (7 * chunks + 3 * delta.length));
  const reals = new Float32Array(words.buffer);
  let at = 0;
  for (let o = 0; o < outputs; o += 2) {
    for (let chunk = 0; chunk < chunks; chunk++) {
      const from = chunk * CHUNK;
      const end = Math.min(delta.length, from + CHUNK);
      words[at] = 12 * (end - from);
      const last = chunk === chunks - 1;
      for (let j = 0; j < 2; j++) {
        reals[at + 1 + 3 * j] = last ? (scale[o + j] ?? 1) : 1;
        reals[at + 2 + 3 * j] = last ? (bias[o + j] ?? 0) : 0;
      }
      at += 7;
      for (let cell = from; cell < end; cell++) {
        words[at] = delta[cell]!;
        words[at + 1] = bits[first[cell]! * outputs + o]!;
        words[at + 2] = o + 1 < outputs ? bits[first[cell]! * outputs + o + 1]! : 0;
        at += 3;
      }
    }
  }
  return words;
}

/** The pixels whose windows reach into the padding, and what their sums start from. */
function edgesOf({ input, output, kernel, window }: Conv): {
  count: number;
  rows: number;
  places: Uint32Array;
  values: Float32Array;
} {
  const none = { count: 0, rows: 0, places: new Uint32Array(1), values: new Float32Array(1) };
  if (!isPadded(window)) return none;
  const { height, width, inputs, outputs, data } = kernel;
  const taps = height * width;
  const sums = new Float32Array(taps * outputs);
  for (let i = 0; i < data.length; i++) {
    const tap = Math.floor(i / (inputs * outputs));
    sums[tap * outputs + (i % outputs)]! += data[i]! < 0 ? -1 : 1;
  }
  const classes = new Map<string, number[]>();
  const numbers = new Map<string, number>();
  const places: number[] = [];
  for (let i = 0; i < output.height; i++) {
    for (let j = 0; j < output.width; j++) {
      const missing: number[] = [];
      for (let tap = 0; tap < taps; tap++) {
        const h =
          i * window.strideHeight + Math.floor(tap / width) * window.dilationHeight - window.top;
        const w = j * window.strideWidth + (tap % width) * window.dilationWidth - window.left;
        if (h < 0 || h >= input.height || w < 0 || w >= input.width) missing.push(tap);
      }
      if (missing.length === 0) continue;
      const key = missing.join();
      if (!numbers.has(key)) numbers.set(key, numbers.size);
      classes.set(key, missing);
      places.push(4 * (i * output.layout.pitch + j), 8 * numbers.get(key)!);
    }
  }
  const rows = classes.size;
  const pairs = Math.ceil(outputs / 2);
  const values = new Float32Array(pairs * rows * 2);
  for (const [key, missing] of classes) {
    for (let o = 0; o < 2 * pairs; o++) {
      const away = missing.reduce(
        (sum, tap) => sum + (o < outputs ? sums[tap * outputs + o]! : 0),
        0,
      );
      values[((o >> 1) * rows + numbers.get(key)!) * 2 + (o & 1)] = taps * inputs - away;
    }
  }
  return { count: places.length / 2, rows, places: Uint32Array.from(places), values };
}

/** A dense layer of signs. */
export function emitXnorDense(program: Program, dense: Dense, size: Float32Array): void {
  const { input, inputs, outputs, weight, output, low, high, scale, bias } = dense;
  const signs = dense.signs!;
  const words = Math.ceil(inputs / 32);
  const x = { piece: program.piece(4 * words), offset: 0 };
  const table = program.weights(tableOf(signs.scale, signs.shift));
  program.call('signVector', input.start, x, inputs, table);
  const bits = wordsOf(weight.data, 1, inputs, outputs);
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
