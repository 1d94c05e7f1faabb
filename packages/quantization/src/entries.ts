// Which entries of a weight belong to a slice.
import { sizeOf } from '@thimble/base';

/** The places of the entries of slice `index` along `axis`, or of all; without those that `kept` hides. */
export function entriesOf(
  shape: readonly number[],
  axis: number | null,
  index: number,
  kept?: Uint8Array,
): Int32Array {
  const size = sizeOf(shape);
  const slices = axis === null ? 1 : shape[axis]!;
  const inner = axis === null ? size : sizeOf(shape.slice(axis + 1));
  const places = new Int32Array(size / slices);
  let count = 0;
  for (let start = index * inner; start < size; start += slices * inner) {
    for (let i = start; i < start + inner; i++) {
      if (!kept || kept[i]) places[count++] = i;
    }
  }
  return places.subarray(0, count);
}

/** The values at some places. */
export function valuesAt(values: Float32Array, places: Int32Array): Float32Array {
  const chosen = new Float32Array(places.length);
  for (let i = 0; i < places.length; i++) chosen[i] = values[places[i]!]!;
  return chosen;
}
