// How a weight divides into the parts that go or stay together.
import { UnsupportedError } from '@thimble/base';
import type { Site } from '@thimble/core';

/**
 * What one slice holds: all that leads to one output unit or filter (`out`; of an LSTM or GRU the unit's
 * columns in all gates), all that comes from one input unit or channel (`in`), all filters' entries at one
 * place of one input channel (`shape`), the whole weight (`layer`), or one entry (`element`).
 */
export type SliceKind = 'out' | 'in' | 'shape' | 'layer' | 'element';

/** The division of one weight. */
export interface Slices {
  /** The shape in which the axes below count: that of the weight, with the gates as an axis of their own. */
  readonly view: number[];
  /** The axes that run inside a slice. */
  readonly inside: number[];
  /** Shape of one value per slice, to broadcast against `view`. */
  readonly shape: number[];
  /** Number of slices. */
  readonly count: number;
  /** Entries in each. */
  readonly size: number;
}

/**
 * Divides a weight into slices.
 *
 * @param owner who asks, for the message
 * @throws {UnsupportedError} when the weight has no such axis, as a bias has no inputs.
 */
export function slicesOf(
  owner: string,
  kind: SliceKind,
  { layer, weight, shape, axes }: Pick<Site, 'layer' | 'weight' | 'shape' | 'axes'>,
): Slices {
  const { out, in: input, space, gates } = axes;
  if ((kind === 'in' || kind === 'shape') && input < 0) {
    throw new UnsupportedError(
      `${owner}: "${weight}" of layer "${layer}" has no input channels to divide by; it has only ` +
        'outputs. Divide it by those, or leave it out.',
    );
  }
  const kept: Record<SliceKind, number[]> = {
    out: [out],
    in: [input],
    // The kernels of a depthwise layer have one input channel each.
    shape: input === out ? space : [...space, input],
    layer: [],
    element: shape.map((_, axis) => axis),
  };
  const view = shape.slice();
  let keep = kept[kind];
  if (kind === 'out' && gates > 1) {
    view.splice(out, 1, gates, shape[out]! / gates);
    keep = [out + 1];
  }
  const inside = view.map((_, axis) => axis).filter((axis) => !keep.includes(axis));
  const product = (counted: number[]) => counted.reduce((sum, axis) => sum * view[axis]!, 1);
  return {
    view,
    inside,
    shape: view.map((n, axis) => (keep.includes(axis) ? n : 1)),
    count: product(keep),
    size: product(inside),
  };
}
