// Windows of convolutions and pooling in ONNX's attributes.
import { UnsupportedError } from '@thimble/base';
import type { GraphNode, Shape } from '@thimble/graph';
import type { Attributes } from './writer.ts';

/** Sizes of a window, and whether its entries may be apart. */
export interface Sizes {
  kernel: number[];
  dilated: boolean;
}

/**
 * Sizes, strides, dilations and paddings of the windows of a node. 'Same' padding is written out where the
 * input's sizes are known: half in front, the odd one behind.
 */
export function windows(
  node: GraphNode,
  { kernel, dilated }: Sizes,
  from: Shape,
  to: Shape,
): Attributes {
  checkLast(node);
  const { strides, padding, dilationRate, poolSize } = node.attributes;
  const sizes = from.slice(0, -1);
  const each = (value: unknown): number[] => {
    const list = [value ?? 1].flat() as number[];
    return sizes.map((_, i) => list[i] ?? list.at(-1)!);
  };
  const window = each(kernel);
  const steps = each(strides ?? poolSize);
  const apart = each(dilated ? dilationRate : 1);
  const shape = { kernel_shape: window, strides: steps };
  const spaced = apart.some((n) => n > 1) ? { ...shape, dilations: apart } : shape;
  if (padding === 'valid' || padding === undefined) return spaced;
  const reach = window.map((n, i) => (n - 1) * apart[i]! + 1);

  if (sizes.includes(null)) return { ...spaced, auto_pad: 'SAME_UPPER' };
  const whole = sizes.map((size, i) => {
    const count = (to[i] as number) - 1;
    return Math.max(0, count * steps[i]! + reach[i]! - (size as number));
  });
  const before = whole.map((n) => Math.floor(n / 2));
  const pads = [...before, ...whole.map((n, i) => n - before[i]!)];
  return pads.some((n) => n > 0) ? { ...spaced, pads } : spaced;
}

/** @throws {UnsupportedError} for a layer that takes images with their channels first. */
export function checkLast({ layer, attributes }: GraphNode): void {
  if (attributes.dataFormat !== 'channelsFirst') return;
  throw new UnsupportedError(
    `toOnnx: layer "${layer}" has its channels first. Use channelsLast: ONNX gets them in front all the same.`,
  );
}
