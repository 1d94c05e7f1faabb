// The lists that streams walk: which input pixels each weight of an output meets, and with what.
import type { Window } from './windows.ts';

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

/** Entries that lists with `group` outputs each would have, zeros left out. */
export function countEntries(kernel: Kernel, cells: Cells, group: number): number {
  let count = 0;
  eachEntry(kernel, cells, group, () => count++);
  return count;
}

/** Shows for every group of outputs the cells that are not zero for all of them. */
function eachEntry(
  kernel: Kernel,
  { first, second }: Cells,
  group: number,
  visit: (output: number, cell: number) => void,
): void {
  const { outputs } = kernel;
  for (let o = 0; o < outputs; o += group) {
    const end = Math.min(outputs, o + group);
    for (let cell = 0; cell < first.length; cell++) {
      for (let j = o; j < end; j++) {
        if (weight(kernel, first[cell]!, j) !== 0 || weight(kernel, second[cell]!, j) !== 0) {
          visit(o, cell);
          break;
        }
      }
    }
  }
}

function weight(kernel: Kernel, index: number, output: number): number {
  if (index < 0 || output >= kernel.outputs) return 0;
  return kernel.data[index * kernel.outputs + output]!;
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
  const whole = finish.whole !== undefined;
  const lists = Math.ceil(kernel.outputs / group);
  const head = 1 + 3 * group;
  const words = new Uint32Array(lists * head + countEntries(kernel, cells, group) * (1 + group));
  const reals = new Float32Array(words.buffer);
  const integers = new Int32Array(words.buffer);
  const repeat = kernel.outputs / kernel.inputs;
  let at = 0;
  let started = -1;
  let start = 0;
  const begin = (upTo: number): void => {
    for (; started < upTo; ) {
      started = started < 0 ? 0 : started + group;
      start = at;
      for (let j = 0; j < group; j++) {
        const o = started + j;
        reals[at + 1 + 3 * j] = finish.scale[o] ?? 1;
        reals[at + 2 + 3 * j] = finish.bias[o] ?? 0;
        integers[at + 3 + 3 * j] = finish.whole?.[o] ?? 0;
      }
      at += head;
    }
  };
  eachEntry(kernel, cells, group, (o, cell) => {
    if (started < o) begin(o);
    const channel = channelStep === undefined ? 0 : Math.floor(o / repeat) * channelStep;
    integers[at] = cells.delta[cell]! + channel;
    for (let j = 0; j < group; j++) {
      const a = weight(kernel, cells.first[cell]!, o + j);
      if (whole) {
        const b = weight(kernel, cells.second[cell]!, o + j);
        integers[at + 1 + j] = (a & 0xffff) | (b << 16);
      } else {
        reals[at + 1 + j] = a * (finish.scale[o + j] ?? 1);
      }
    }
    at += 1 + group;
    words[start]! += 4 * (1 + group);
  });
  begin((lists - 1) * group);
  return new Uint8Array(words.buffer);
}
