// Outputs of which some positions are computed: from which one each of the others is copied.

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
