import { perforationOf, sizeOf } from '@thimble/base';
import type { GraphNode } from '@thimble/graph';
import { endingOf } from '../activations.ts';
import type { Kernel } from '../lists.ts';
import { sizeOf as imageOf, kernelOf, none, POINT, unsupported } from '../node-parts.ts';
import { weightOf } from '../node-weights.ts';
import { Value } from '../values.ts';
import { isPadded, type Window, windowOf } from '../windows.ts';
import type { Wiring } from '../wiring.ts';
import type { Lowering } from './lowering.ts';

/** Cycles of a multiply-accumulate, and of a value that is put beside others, as in choices.ts. */
const MAC = 0.15;
const GATHERED = 3;

/**
 * A convolution at the positions that the mask keeps; the others take the value of the nearest of those. What the kept
 * windows look at is put side by side, so that it is a convolution of single pixels; where that would take longer than
 * the convolution at all positions, that is computed instead.
 */
export const perforatedConv2d: Lowering = (builder, node, [input], shape) => {
  const { graph, wiring } = builder;
  const { data, encoding } = weightOf(graph, node, 'kernel')!;
  const mask = weightOf(graph, node, 'perforation')!.data;
  const [height, width, channels] = shape as [number, number, number];
  const { kept, nearest } = perforationOf(mask, height, width);
  if (kept.length === 0) throw unsupported(node, 'a mask that keeps no position');
  const kernel = kernelOf(data, encoding, false);
  const window = windowOf(node, [kernel.height, kernel.width], input!, imageOf(shape));
  const some = { ...node, name: `${node.name}/some` };
  const density = encoding.nonzero / sizeOf(encoding.shape);
  const saved = density * channels * MAC * (mask.length - kept.length);
  const gathers = saved > GATHERED * kept.length;
  if (gathers) {
    const patches = patchesOf(wiring, node, input!, kernel, window, kept, width);
    const rows = patches.channels;
    const flat = { ...kernel, height: 1, width: 1, inputs: rows };
    const matrix = { ...encoding, shape: [1, 1, rows, channels] };
    const ending = endingOf(node);
    builder.conv(some, patches, flat, matrix, POINT, [1, kept.length, channels], ending);
  } else builder.conv(some, input!, kernel, encoding, window, shape, endingOf(node));
  const from = wiring.of({ node: some.name, output: 0 });
  const output = new Value(shape, true);
  wiring.add({
    kind: 'rearrange',
    layer: node.layer,
    input: from,
    output,
    channels: Int32Array.from({ length: channels }, (_, c) => c),
    pixels: nearest.map((place) => (gathers ? place : kept[place]!) * channels),
    ...(gathers ? {} : { why: 'all positions are computed before: it is faster' }),
    ...none(),
  });
  wiring.give(node, output);
};

/** The values under each kept window, one pixel for each: [1, kept, taps inputs]. */
function patchesOf(
  wiring: Wiring,
  node: GraphNode,
  input: Value,
  { height, width, inputs }: Kernel,
  window: Window,
  kept: Int32Array,
  columns: number,
): Value {
  const { layer } = node;
  const { top, left, bottom, right, strideHeight, strideWidth } = window;
  let image = wiring.asPlanes(input, [input.height, input.width, inputs], node);
  if (isPadded(window)) {
    const sizes = [input.height + top + bottom, input.width + left + right, inputs];
    const output = new Value(sizes, true);
    image = wiring.add({ kind: 'pad', layer, input: image, output, top, left, ...none() }).output;
  }
  const place = (row: number, column: number): number => (row * image.width + column) * inputs;
  const channels = Int32Array.from({ length: height * width * inputs }, (_, i) => {
    const tap = Math.floor(i / inputs);
    const row = Math.floor(tap / width) * window.dilationHeight;
    return place(row, (tap % width) * window.dilationWidth) + (i % inputs);
  });
  const pixels = kept.map((at) =>
    place(Math.floor(at / columns) * strideHeight, (at % columns) * strideWidth),
  );
  const output = new Value([1, kept.length, channels.length], true);
  wiring.add({ kind: 'rearrange', layer, input: image, output, channels, pixels, ...none() });
  return output;
}
