// The planes that a convolution reads: those of its input, or a copy with padding and phases of the stride.
import { isDirect } from './choices.ts';
import type { Conv } from './operations.ts';
import type { Place, Program } from './program.ts';
import { planeStep, type Value } from './values.ts';

/** Planes that a stream reads. */
export interface Planes {
  origin: Place;
  /** Where their memory begins, and how many values lie in all of them. */
  start: Place;
  count: number;
  /** Values from plane to plane, row to row. */
  step: number;
  pitch: number;
  front: number;
}

/** The planes of a value as they lie. */
export function planesOf({ origin, start, count, layout }: Value): Planes {
  return { origin, start, count, ...layout };
}

/** Planes that a convolution can read: as they lie, or a copy with padding, split by the phases of the stride. */
export function readable(program: Program, conv: Conv, planes: Planes): Planes {
  if (isDirect(conv)) return planes;
  const { output, window } = conv;
  const { pitch } = output.layout;
  const phases = phasesOf(conv);
  const step = planeStep(phases.rows * pitch + window.right);
  const count = planes.count * phases.count;
  const start = { piece: program.piece(4 * step * count), offset: 0 };
  program.call(
    'padPlanes',
    ...[planes.origin, 4 * planes.step, 4 * planes.pitch, start, 4 * step, 4 * pitch],
    ...[planes.count, ...phases.sizes, 0],
  );
  return { origin: start, start, count, step, pitch, front: 0 };
}

/** The phases of a stride: how many, the rows of each, and what the kernels that write them ask for. */
export function phasesOf({ input, output, window }: Conv): {
  count: number;
  rows: number;
  sizes: number[];
} {
  const { strideHeight, strideWidth, dilationHeight, height, top, left } = window;
  const rows = output.height + Math.floor(((height - 1) * dilationHeight) / strideHeight);
  const sizes = [input.height, input.width, rows, strideHeight, strideWidth, top, left];
  return { count: strideHeight * strideWidth, rows, sizes };
}

/** Scale and shift of each channel, in turn. */
export function tableOf(scale: Float32Array, shift: Float32Array): Float32Array {
  const table = new Float32Array(2 * scale.length);
  for (let c = 0; c < scale.length; c++) {
    table[2 * c] = scale[c]!;
    table[2 * c + 1] = shift[c]!;
  }
  return table;
}
