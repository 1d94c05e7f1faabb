// Values in another order as calls of kernels.
import type { Rearrange } from './operations.ts';
import type { Place, Program } from './program.ts';
import type { Value } from './values.ts';
import { NOWHERE } from './view.ts';

/** Says how the values must lie: before any layout is asked for. */
export function layRearrange(operation: Rearrange): void {
  if (movesPlanes(operation)) operation.output.joinTo(operation.input);
}

/** Whole planes where pixels stay what they are, else value by value. */
export function emitRearrange(program: Program, operation: Rearrange): void {
  const { output, channels, pixels } = operation;
  if (movesPlanes(operation)) {
    copyPlanes(program, operation);
    return;
  }
  const { from, offset } = source(program, operation);
  const table = (places: Int32Array): Place =>
    program.weights(places.map((place) => (place < 0 ? NOWHERE : offset(place))));
  if (output.planes) {
    program.call(
      'gather',
      ...[from, table(channels), table(pixels), output.origin, output.step, output.pitch],
      ...[output.channels, output.height, output.width],
    );
    return;
  }
  program.call(
    'gather',
    ...[from, table(pixels), table(channels), output.start, 4 * channels.length, 0],
    ...[pixels.length, 1, channels.length],
  );
}

/** Whether every pixel stays where it is, and only channels move. */
function movesPlanes({ input, output, channels, pixels }: Rearrange): boolean {
  return (
    input.planes &&
    output.planes &&
    input.height === output.height &&
    input.width === output.width &&
    pixels.every((place, pixel) => place === pixel * input.channels) &&
    channels.every((place) => place >= 0 && place < input.channels)
  );
}

/** Runs of channels that stay together are copied at once. */
function copyPlanes(program: Program, { input, output, channels }: Rearrange): void {
  for (let first = 0, end = 0; first < channels.length; first = end) {
    end = first + 1;
    while (end < channels.length && channels[end] === channels[end - 1]! + 1) end++;
    const from = { ...input.start, offset: channels[first]! * input.step };
    const to = { ...output.start, offset: first * output.step };
    program.call('copy', from, to, (end - first) * input.step);
  }
}

/** Where the values begin, and the bytes from there to an entry, which may be the sum of two. */
function source(
  program: Program,
  { input, channels, pixels }: Rearrange,
): { from: Place; offset: (entry: number) => number } {
  if (!input.planes) return { from: input.start, offset: (entry) => 4 * entry };
  if (addsUp(input, channels, pixels)) {
    const { channels: depth, width, step, pitch } = input;
    const offset = (entry: number): number => {
      const pixel = Math.floor(entry / depth);
      return (entry % depth) * step + Math.floor(pixel / width) * pitch + (pixel % width) * 4;
    };
    return { from: input.origin, offset };
  }
  const image = { piece: program.piece(4 * input.size), offset: 0 };
  const { origin, step, pitch, channels: depth, height, width } = input;
  program.call('toImage', origin, step, pitch, image, depth, height, width);
  return { from: image, offset: (entry) => 4 * entry };
}

/** Whether sums of places never carry from the channel to the column, or from the column to the row. */
function addsUp({ channels: depth, width }: Value, ...tables: Int32Array[]): boolean {
  const most = (digit: (place: number) => number): number =>
    tables.reduce(
      (sum, places) => sum + places.reduce((max, place) => Math.max(max, digit(place)), 0),
      0,
    );
  return (
    most((place) => Math.max(0, place) % depth) < depth &&
    most((place) => Math.floor(Math.max(0, place) / depth) % width) < width
  );
}
