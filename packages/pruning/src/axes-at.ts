// The axes of a weight that is known by the path of its layer.
import type { layers } from '@tensorflow/tfjs-layers';
import { type Axes, axesOf } from '@thimble/core';

/** The meaning of the axes of the weight of a layer; that of a Bidirectional's is the usual one. */
export function axesAt(
  layer: layers.Layer | undefined,
  weight: string,
  shape: readonly number[],
): Axes {
  if (layer) return axesOf(layer, weight, shape);
  return { out: shape.length - 1, in: shape.length - 2, space: [], gates: 1 };
}
