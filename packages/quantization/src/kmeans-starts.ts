// Where k-means begins: four ways to lay centroids over sorted values.
import type { Random } from '@thimble/base';
import { countUpTo, type SortedValues } from './sorted-values.ts';

/** How the first centroids are chosen; see `kmeans`. */
export type KmeansStart = 'linear' | 'density' | 'random' | 'kmeansPlusPlus';

export const KMEANS_STARTS: readonly KmeansStart[] = [
  'linear',
  'density',
  'random',
  'kmeansPlusPlus',
];

/** Up to `count` first centroids of the values in `[begin, end)`, in any order. */
export function startCentroids(
  start: KmeansStart,
  sorted: SortedValues,
  begin: number,
  end: number,
  count: number,
  random: Random,
): number[] {
  if (end <= begin || count <= 0) return [];
  switch (start) {
    case 'linear': {
      const first = sorted.values[begin]!;
      const step = count > 1 ? (sorted.values[end - 1]! - first) / (count - 1) : 0;
      return Array.from({ length: count }, (_, i) => first + i * step);
    }
    case 'density':
      return Array.from({ length: count }, (_, i) => {
        const share = count > 1 ? 0.01 + (0.99 * i) / (count - 1) : 0.01;
        const rank = Math.ceil(share * (end - begin) - 1e-9);
        return sorted.values[begin + Math.min(end - begin, Math.max(1, rank)) - 1]!;
      });
    case 'random':
      return randomValues(sorted, begin, end, count, random);
    case 'kmeansPlusPlus':
      return plusPlus(sorted, begin, end, count, random);
  }
}

/** Draws until there are enough different values; gives up where there seem to be no more. */
function randomValues(
  { values }: SortedValues,
  begin: number,
  end: number,
  count: number,
  random: Random,
): number[] {
  const drawn = new Set<number>();
  for (let tries = 0; drawn.size < count && tries < 8 * count; tries++) {
    drawn.add(values[begin + random.integer(end - begin)]!);
  }
  return [...drawn];
}

/**
 * Every further centroid is a value drawn with a chance in proportion to its squared distance from the
 * nearest centroid. Sums of squares make that exact without a pass over the values for each: the values
 * that belong to a centroid are a stretch, and the cost of a stretch takes four look-ups.
 */
function plusPlus(
  { values, sums }: SortedValues,
  begin: number,
  end: number,
  count: number,
  random: Random,
): number[] {
  const squares = new Float64Array(end - begin + 1);
  let sum = 0;
  for (let i = begin; i < end; i++) {
    sum += values[i]! ** 2;
    squares[i - begin + 1] = sum;
  }
  const costOf = (centroid: number, from: number, to: number) =>
    Math.max(
      0,
      squares[to - begin]! -
        squares[from - begin]! -
        2 * centroid * (sums[to]! - sums[from]!) +
        (to - from) * centroid * centroid,
    );
  const centroids = [values[begin + random.integer(end - begin)]!];
  const edges = [begin, end];
  const costs = [costOf(centroids[0]!, begin, end)];
  while (centroids.length < count) {
    const total = costs.reduce((all, cost) => all + cost, 0);
    if (!(total > 0)) break;
    let rest = random.uniform() * total;
    let at = 0;
    while (at < costs.length - 1 && rest >= costs[at]!) rest -= costs[at++]!;
    const chosen = values[drawIn(at, rest)]!;
    if (chosen === centroids[at]) {
      costs[at] = 0; // a rounding error: nothing but the centroid itself is there
      continue;
    }
    const place = chosen < centroids[at]! ? at : at + 1;
    centroids.splice(place, 0, chosen);
    edges.splice(place === at ? at : at + 1, 0, 0);
    costs.splice(place, 0, 0);
    const last = centroids.length - 1;
    edges[0] = begin;
    for (let i = Math.max(0, place - 1); i < Math.min(last, place + 1); i++) {
      const middle = (centroids[i]! + centroids[i + 1]!) / 2;
      edges[i + 1] = countUpTo(values, middle, begin, end);
    }
    edges[last + 1] = end;
    for (let i = Math.max(0, place - 1); i <= Math.min(last, place + 1); i++) {
      costs[i] = costOf(centroids[i]!, edges[i]!, edges[i + 1]!);
    }
  }
  return centroids;

  /** The first value of a centroid's stretch up to which the costs add up to more than `rest`. */
  function drawIn(centroid: number, rest: number): number {
    let low = edges[centroid]!;
    let high = edges[centroid + 1]! - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (costOf(centroids[centroid]!, edges[centroid]!, middle + 1) > rest) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
