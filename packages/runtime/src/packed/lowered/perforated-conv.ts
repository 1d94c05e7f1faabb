import { perforationOf } from '@thimble/base';
import { endingOf } from '../activations.ts';
import { kernelOf, none, sizeOf, unsupported } from '../node-parts.ts';
import { weightOf } from '../node-weights.ts';
import { windowOf } from '../windows.ts';
import type { Lowering } from './lowering.ts';

/**
 * A convolution at all positions; then those that the mask leaves out take the value of the nearest that it keeps. The
 * results are those of the layer, but nothing is saved.
 */
export const perforatedConv2d: Lowering = (builder, node, [input], shape) => {
  const { graph, wiring } = builder;
  const { data, encoding } = weightOf(graph, node, 'kernel')!;
  const mask = weightOf(graph, node, 'perforation')!.data;
  const [height, width, channels] = shape as [number, number, number];
  const { kept, nearest } = perforationOf(mask, height, width);
  if (kept.length === 0) throw unsupported(node, 'a mask that keeps no position');
  const kernel = kernelOf(data, encoding, false);
  const window = windowOf(node, [kernel.height, kernel.width], input!, sizeOf(shape));
  const all = { ...node, name: `${node.name}/all` };
  builder.conv(all, input!, kernel, encoding, window, shape, endingOf(node));
  const from = wiring.of({ node: all.name, output: 0 });
  const output = wiring.like(from);
  wiring.add({
    kind: 'rearrange',
    layer: node.layer,
    input: from,
    output,
    channels: Int32Array.from({ length: channels }, (_, c) => c),
    pixels: nearest.map((place) => kept[place]! * channels),
    why: 'all positions are computed before',
    ...none(),
  });
  wiring.give(node, output);
};
