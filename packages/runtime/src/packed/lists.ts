// The lists that streams walk: which input pixels each weight of an output meets, and with what.
import type { Window } from './windows.ts';
import { withValues } from './with-values.ts';

/** A convolution's weights: [height, width, in, out], or with `separate` [height, width, in, out / in]. */
export interface Kernel {
  data: Float32Array;
  height: number;
  width: number;
  inputs: number;
  outputs: number;
  separate: boolean;
}

/** How the planes that a stream reads lie: bytes from plane to plane and row to row, and phases of strides. */
export interface Source {
  step: number;
  pitch: number;
  /** Whether planes are split by the phases of the stride and begin with the padding. */
  phases: boolean;
  /** What shares the two halves of a pixel: nothing (real numbers), two planes, or two neighbours in a row. */
  halves: 'none' | 'planes' | 'neighbours';
}

/** A place in the input, and the one or two weights that meet it; -1 for none. */
export interface Cells {
  delta: Int32Array;
  first: Int32Array;
  second: Int32Array;
}

/** What an output's sum becomes. */
export interface Finish {
  scale: Float32Array;
  bias: Float32Array;
  whole?: Int32Array;
}

/**
 * The places that a kernel reads, in the order of their addresses. Weights are numbered by
 * [height, width, in]; of a separate kernel, those of one channel.
 */
export function cellsOf(kernel: Kernel, window: Window, source: Source): Cells {
  const { step, pitch, phases, halves } = source;
  const inputs = kernel.separate ? 1 : kernel.inputs;
  const { strideHeight: sh, strideWidth: sw } = window;
  if (halves !== 'neighbours' && !phases) {
    const plain = plainCells(kernel, window, source, inputs);
    if (plain) return plain;
  }
  const cells = new Map<number, [number, number]>();
  for (let c = 0; c < inputs; c++) {
    for (let a = 0; a < kernel.height; a++) {
      for (let b = 0; b < kernel.width; b++) {
        const [h, w] = [a * window.dilationHeight, b * window.dilationWidth];
        let plane = phases ? (c * sh + (h % sh)) * sw + (w % sw) : c;
        const row = phases ? Math.floor(h / sh) : h - window.top;
        let column = phases ? Math.floor(w / sw) : w - window.left;
        let half = 0;
        if (halves === 'planes') {
          half = plane & 1;
          plane >>= 1;
        } else if (halves === 'neighbours') {
          const from = phases ? column : w;
          half = from & 1;
          column -= half;
        }
        const delta = plane * step + row * pitch + 4 * column;
        const cell = cells.get(delta) ?? [-1, -1];
        cell[half] = (a * kernel.width + b) * inputs + c;
        cells.set(delta, cell);
      }
    }
  }
  const sorted = [...cells].sort(([a], [b]) => a - b);
  return {
    delta: Int32Array.from(sorted, ([delta]) => delta),
    first: Int32Array.from(sorted, ([, cell]) => cell[0]!),
    second: Int32Array.from(sorted, ([, cell]) => cell[1]!),
  };
}

/** The places where they lie one behind the other in the order of the weights' channels, rows and columns. */
function plainCells(
  { height, width }: Kernel,
  { top, left, dilationHeight, dilationWidth }: Window,
  { step, pitch, halves }: Source,
  inputs: number,
): Cells | undefined {
  const each = halves === 'planes' ? 2 : 1;
  const planes = Math.ceil(inputs / each);
  const delta = new Int32Array(planes * height * width);
  const first = new Int32Array(delta.length);
  const second = new Int32Array(delta.length).fill(-1);
  let at = 0;
  let last = Number.NEGATIVE_INFINITY;
  for (let plane = 0; plane < planes; plane++) {
    const c = each * plane;
    for (let a = 0; a < height; a++) {
      const row = plane * step + (a * dilationHeight - top) * pitch - 4 * left;
      for (let b = 0; b < width; b++) {
        const place = row + 4 * b * dilationWidth;
        if (place <= last) return undefined;
        last = place;
        delta[at] = place;
        first[at] = (a * width + b) * inputs + c;
        if (each === 2 && c + 1 < inputs) second[at] = first[at]! + 1;
        at++;
      }
    }
  }
  return { delta, first, second };
}

/** Entries of each list, for lists with one output and for lists with two. */
export function countEntries(kernel: Kernel, cells: Cells): { one: Uint32Array; two: Uint32Array } {
  const one = new Uint32Array(kernel.outputs);
  const two = new Uint32Array(Math.ceil(kernel.outputs / 2));
  if (!kernel.data.includes(0)) {
    return { one: one.fill(cells.delta.length), two: two.fill(cells.delta.length) };
  }
  const { delta, first, second } = cells;
  return withValues(kernel.data, (work, at) => {
    const [a, b] = [work.put(first), work.put(second)];
    const [ones, twos] = [work.zeros(one.byteLength), work.zeros(two.byteLength)];
    work.kernels.countEntries(at, kernel.outputs, a, b, delta.length, ones, twos);
    one.set(work.words(ones, one.length));
    two.set(work.words(twos, two.length));
    return { one, two };
  });
}

/**
 * Lists with `group` (1 or 2) outputs each. With `channelStep`, the bytes from one input channel to
 * the next, every output reads the channel of its own.
 */
export function listsOf(
  kernel: Kernel,
  cells: Cells,
  group: 1 | 2,
  finish: Finish,
  channelStep?: number,
): Uint8Array {
  const { data, outputs } = kernel;
  const { scale, bias, whole } = finish;
  const { one, two } = countEntries(kernel, cells);
  const counts = group === 1 ? one : two;
  const [head, entry] = [1 + 3 * group, 1 + group];
  const starts = new Uint32Array(counts.length);
  let length = 0;
  for (const [list, count] of counts.entries()) {
    starts[list] = length;
    length += head + count * entry;
  }
  const words = new Uint32Array(length);
  const reals = new Float32Array(words.buffer);
  for (const [list, count] of counts.entries()) {
    const at = starts[list]!;
    words[at] = 4 * count * entry;
    for (let j = 0; j < group; j++) {
      const o = list * group + j;
      reals[at + 1 + 3 * j] = scale[o] ?? 1;
      reals[at + 2 + 3 * j] = bias[o] ?? 0;
      words[at + 3 + 3 * j] = whole?.[o] ?? 0;
    }
  }
  return withValues(data, (work, at) => {
    const { delta, first, second } = cells;
    const places = [work.put(delta), work.put(first), work.put(second), delta.length] as const;
    const factors = whole ? 0 : work.put(scale);
    const repeat = Math.max(1, outputs / kernel.inputs);
    const next = work.put(starts.map((start) => start + head));
    const out = work.put(words);
    const how = [factors, group, channelStep ?? 0, repeat, next, out] as const;
    work.kernels.fillEntries(at, outputs, ...places, ...how);
    return work.bytes(out, words.byteLength).slice();
  });
}
