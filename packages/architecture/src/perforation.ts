// Which positions of an output are computed, and from which one each of the others is copied.
import { Random } from '@thimble/base';

/** How the positions are chosen. */
export type PerforationMask = 'uniform' | 'grid' | 'poolingStructure';

/** The pooling that reads an output, for 'poolingStructure'. */
export interface PoolingWindow {
  size: number;
  strides: number;
}

/**
 * A mask [height, width], row by row: 1 at the positions to compute. 'uniform' and 'poolingStructure' keep
 * `round(keep * height * width)` of them, at least 1.
 *
 * - 'uniform': positions at random
 * - 'grid': every crossing of evenly spaced rows and columns, `round(sqrt(keep) * size)` of each
 * - 'poolingStructure': those that most windows of the pooling behind it read; ties at random
 */
export function perforationMask(
  kind: PerforationMask,
  height: number,
  width: number,
  keep: number,
  seed: number | string,
  pool: PoolingWindow,
): Uint8Array {
  if (kind === 'grid') return gridMask(height, width, keep);
  const reads = new Float64Array(height * width);
  if (kind === 'poolingStructure') {
    const [rows, columns] = [windowsOver(height, pool), windowsOver(width, pool)];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) reads[y * width + x] = rows[y]! * columns[x]!;
    }
  }
  return highest(reads, keep, seed);
}

/** A mask of the positions with the highest scores; ties at random. */
export function highest(
  scores: ArrayLike<number>,
  keep: number,
  seed: number | string,
): Uint8Array {
  const count = Math.max(1, Math.round(keep * scores.length));
  const shuffled = [...new Random(seed, 'perforation').permutation(scores.length)];
  const order = shuffled.sort((a, b) => scores[b]! - scores[a]!);
  const mask = new Uint8Array(scores.length);
  for (const position of order.slice(0, count)) mask[position] = 1;
  return mask;
}

function gridMask(height: number, width: number, keep: number): Uint8Array {
  const mask = new Uint8Array(height * width);
  const columns = spread(width, keep);
  for (const y of spread(height, keep)) for (const x of columns) mask[y * width + x] = 1;
  return mask;
}

/** Evenly spaced indices, each in the middle of its share. */
function spread(size: number, keep: number): number[] {
  const count = Math.max(1, Math.round(Math.sqrt(keep) * size));
  return Array.from({ length: count }, (_, i) => Math.floor(((i + 0.5) * size) / count));
}

/** How many windows of a pooling without padding read each index. */
function windowsOver(length: number, { size, strides }: PoolingWindow): Uint32Array {
  const reads = new Uint32Array(length);
  for (let start = 0; start + size <= length; start += strides) {
    for (let i = start; i < start + size; i++) reads[i]!++;
  }
  return reads;
}

/** What is computed and where it goes. */
export interface Perforation {
  /** The positions that are computed, in ascending order. */
  kept: Int32Array;
  /** For every position the place in `kept` of the nearest one that is computed. */
  nearest: Int32Array;
}

/**
 * The nearest computed position for every position: by Euclidean distance, the first in reading order where
 * several are as near.
 */
export function perforationOf(mask: ArrayLike<number>, height: number, width: number): Perforation {
  const places = new Int32Array(mask.length).fill(-1);
  let count = 0;
  for (let i = 0; i < mask.length; i++) if (mask[i] !== 0) places[i] = count++;
  const kept = new Int32Array(count);
  for (let i = 0; i < mask.length; i++) if (places[i]! >= 0) kept[places[i]!] = i;
  const nearest = new Int32Array(mask.length);
  if (count === 0) return { kept, nearest };
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) nearest[y * width + x] = nearestTo(places, y, x, height, width);
  }
  return { kept, nearest };
}

/** Looks in rings of growing size, until what is further out cannot be nearer. */
function nearestTo(
  places: Int32Array,
  y: number,
  x: number,
  height: number,
  width: number,
): number {
  let best = -1;
  let least = Number.POSITIVE_INFINITY;
  for (let ring = 0; ring * ring <= least; ring++) {
    for (let row = Math.max(0, y - ring); row <= Math.min(height - 1, y + ring); row++) {
      const edge = Math.abs(row - y) === ring;
      for (let column = x - ring; column <= x + ring; column += edge || ring === 0 ? 1 : 2 * ring) {
        if (column < 0 || column >= width) continue;
        const place = places[row * width + column]!;
        if (place < 0) continue;
        const distance = (row - y) ** 2 + (column - x) ** 2;
        if (distance < least || (distance === least && place < best)) {
          least = distance;
          best = place;
        }
      }
    }
  }
  return best;
}
