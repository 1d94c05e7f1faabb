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
  const { input, output, window } = conv;
  const { strideHeight, strideWidth, dilationHeight, height, top, left } = window;
  const { pitch } = output.layout;
  const rows = output.height + Math.floor(((height - 1) * dilationHeight) / strideHeight);
  const step = planeStep(rows * pitch + window.right);
  const count = planes.count * strideHeight * strideWidth;
  const start = { piece: program.piece(4 * step * count), offset: 0 };
  program.call(
    'padPlanes',
    ...[planes.origin, 4 * planes.step, 4 * planes.pitch, start, 4 * step, 4 * pitch],
    ...[planes.count, input.height, input.width, rows, strideHeight, strideWidth, top, left, 0],
  );
  return { origin: start, start, count, step, pitch, front: 0 };
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
