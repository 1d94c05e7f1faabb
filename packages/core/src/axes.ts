// What the axes of a layer's weights mean.
import type { Layer } from './internals.ts';
import { internals, ownerOf } from './internals.ts';
import type { Axes } from './transform.ts';

/**
 * The meaning of the axes of a weight, by its name and the layer that owns it. TensorFlow.js lays
 * weights out the same way for both data formats: dense [in, out]; convolution [...space, in, out],
 * transposed [...space, out, in]; depthwise [...space, channel, multiplier].
 */
export function axesOf(layer: Layer, weight: string, shape: readonly number[]): Axes {
  const rank = shape.length;
  const owner = ownerOf(layer);
  const { units, filters } = internals(owner);
  const last = shape[rank - 1]!;
  const recurrent = 'stateSize' in owner;
  const gates = recurrent ? last / (units ?? filters ?? last) : 1;
  if (rank < 2) return { out: rank - 1, in: -1, space: [], gates };
  const space = Array.from({ length: rank - 2 }, (_, axis) => axis);
  if (weight === 'depthwiseKernel') return { out: rank - 2, in: rank - 2, space, gates };
  const transposed = /^Conv\dDTranspose$/.test(
    (layer.constructor as unknown as { className: string }).className,
  );
  return transposed
    ? { out: rank - 2, in: rank - 1, space, gates }
    : { out: rank - 1, in: rank - 2, space, gates };
}
