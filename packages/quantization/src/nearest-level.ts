// The nearest of some levels for many values, without a loop over the levels for each.
import { orderedBits } from './sorted-values.ts';

/** Fewer values than this are not worth a table. */
const TABLE_FROM = 4096;
const BUCKETS = 1 << 16;

/**
 * Writes for each value the index of the nearest level into `indices`, of two equally near ones the lower.
 * The top 16 bits of a float say near which level it lies; the boundaries half way between the levels
 * decide, in double precision.
 *
 * @param levels ascending
 * @returns the sum of the squared distances
 */
export function nearestLevels(
  values: Float32Array,
  levels: Float32Array,
  indices: Uint8Array | Uint16Array,
): number {
  const boundaries = new Float64Array(levels.length);
  for (let i = 0; i + 1 < levels.length; i++) boundaries[i] = (levels[i]! + levels[i + 1]!) / 2;
  boundaries[levels.length - 1] = Number.POSITIVE_INFINITY;
  const first = values.length < TABLE_FROM ? undefined : firstOfBuckets(boundaries);
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  let error = 0;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    let level = first ? first[orderedBits(bits[i]!) >>> 16]! : lowestReaching(boundaries, value);
    while (value > boundaries[level]!) level++;
    indices[i] = level;
    const distance = value - levels[level]!;
    error += distance * distance;
  }
  return error;
}

/** For all floats by their top 16 bits: the level of the smallest of them. */
function firstOfBuckets(boundaries: Float64Array): Uint16Array {
  const smallest = new Uint32Array(1);
  const asFloat = new Float32Array(smallest.buffer);
  const first = new Uint16Array(BUCKETS);
  let level = 0;
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    const key = (bucket << 16) >>> 0;
    smallest[0] = key >>> 31 ? key ^ 0x80000000 : ~key;
    // Not-a-numbers at both ends compare with nothing.
    while (asFloat[0]! > boundaries[level]!) level++;
    first[bucket] = level;
  }
  return first;
}

function lowestReaching(boundaries: Float64Array, value: number): number {
  let low = 0;
  let high = boundaries.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (boundaries[middle]! < value) low = middle + 1;
    else high = middle;
  }
  return low;
}
