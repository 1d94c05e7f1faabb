// Which positions of an output are computed.
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
