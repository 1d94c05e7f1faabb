// k-means of the entries of a weight: one dimension, so sorted values and boundaries do all of it.
import {
  checkInteger,
  checkOptions,
  DataError,
  NonFiniteError,
  OptionError,
  Random,
  roundHalfToEven,
} from '@thimble/base';
import { KMEANS_STARTS, type KmeansStart, startCentroids } from './kmeans-starts.ts';
import { nearestLevels } from './nearest-level.ts';
import { countUpTo, type SortedValues, sortValues } from './sorted-values.ts';

/** Options of {@link kmeans}. */
export interface KmeansOptions {
  /** How many clusters, 1 to 65536. */
  clusters: number;
  /**
   * The first centroids; default 'linear'.
   *
   * - 'linear': evenly from the smallest to the largest value. Large weights are rare and matter most, and
   *   this start serves them best (Han et al.)
   * - 'density': at even steps of the cumulative distribution, from 1 % to 100 %
   * - 'random': values drawn by `seed`, no value twice
   * - 'kmeansPlusPlus': drawn by `seed` in proportion to the squared distance from the centroids so far
   */
  start?: KmeansStart;
  /**
   * True: one of the clusters stays at exactly 0, so that zeros stay zeros. The others are shared out
   * between negative and positive values by their numbers, at least at the start. Default false.
   */
  zero?: boolean;
  /** Rounds at most; 0 leaves the first centroids as they are. Default 300. */
  iterations?: number;
  /** Seed of the random starts; default 0. */
  seed?: number | string;
}

/** What {@link kmeans} found. */
export interface Kmeans {
  /** Ascending. Clusters that got no value are left out, so there may be fewer than asked for. */
  centroids: Float32Array;
  /** For every value the index of its centroid; 16 bits where there are more than 256. */
  indices: Uint8Array | Uint16Array;
  /** Sum of the squared distances of the values from their centroids. */
  error: number;
  /** Rounds until nothing changed, or `iterations`. */
  rounds: number;
}

/**
 * Lloyd's k-means on numbers: in turns every value goes to its nearest centroid, and every centroid to the
 * mean of its values,
 *
 * `min sum_k sum_(i in C_k) (w_i - c_k)^2`,
 *
 * until no value changes its cluster. The assignment is exact, and of two centroids equally near the lower
 * one gets the value. As the values are sorted once and summed up, a round costs `K log n`, not `K n`:
 * ten million values to 256 clusters take about a second.
 *
 * Papers: Han, Mao, Dally, "Deep Compression", 2016, sections 3.1 and 3.2; Arthur, Vassilvitskii,
 * "k-means++: The Advantages of Careful Seeding", 2007.
 *
 * @throws {DataError} for no values; {NonFiniteError} naming the first value that is NaN or infinite;
 *   {OptionError} for options that are unknown or out of range.
 * @example
 * const { centroids, indices } = kmeans([0.1, 0.12, 0.9, 0.88, 0.11], { clusters: 2 });
 * centroids; // 0.11, 0.89
 * indices; // 0, 0, 1, 1, 0
 */
export function kmeans(values: ArrayLike<number>, options: KmeansOptions): Kmeans {
  checkKmeans(OWNER, options);
  const { clusters, zero = false, iterations = MOST_ROUNDS } = options;
  if (typeof values?.length !== 'number') {
    throw new DataError(`${OWNER}: it clusters an array of numbers, not ${String(values)}.`);
  }
  const input = values instanceof Float32Array ? values : Float32Array.from(values);
  if (input.length === 0) throw new DataError(`${OWNER}: there are no values to cluster.`);
  const bad = firstNonFinite(input);
  if (bad >= 0) throw new NonFiniteError(`${OWNER}: value ${bad} is ${input[bad]}.`);
  const sorted = sortValues(input);
  const centroids = firstCentroids(sorted, options);
  const edges = new Int32Array(centroids.length + 1);
  findEdges(sorted, centroids, edges);
  let rounds = 0;
  while (rounds < iterations) {
    rounds++;
    moveToMeans(sorted, centroids, edges, zero);
    if (!findEdges(sorted, centroids, edges)) break;
  }
  const used = centroids.filter((c, k) => edges[k + 1]! > edges[k]! || (zero && c === 0));
  const levels = Float32Array.from(new Set(Float32Array.from(used)));
  const indices = clusters > 256 ? new Uint16Array(input.length) : new Uint8Array(input.length);
  const error = nearestLevels(input, levels, indices);
  return { centroids: levels, indices, error, rounds };
}

const OWNER = 'kmeans';
const MOST_ROUNDS = 300;

/** Checks the options that clustering of any kind has. */
export function checkKmeans(owner: string, options: KmeansOptions): void {
  checkOptions(owner, options, ['clusters', 'start', 'zero', 'iterations', 'seed']);
  const { clusters, start, iterations = MOST_ROUNDS } = options;
  checkInteger(owner, 'clusters', clusters, 1, 65536);
  checkInteger(owner, 'iterations', iterations, 0);
  if (start !== undefined && !KMEANS_STARTS.includes(start)) {
    throw new OptionError(
      `${owner}: start must be one of ${KMEANS_STARTS.join(', ')}, not "${start}".`,
    );
  }
}

function firstNonFinite(values: Float32Array): number {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i]!)) return i;
  return -1;
}

/** The start, in ascending order and without doubles. */
function firstCentroids(sorted: SortedValues, options: KmeansOptions): Float64Array {
  const { clusters, start = 'linear', zero = false, seed = 0 } = options;
  const { length } = sorted.values;
  const random = new Random(seed, OWNER);
  if (!zero) {
    const all = startCentroids(start, sorted, 0, length, clusters, random);
    return Float64Array.from(new Set(all)).sort();
  }
  const negative = countBelowZero(sorted.values);
  const notPositive = countUpTo(sorted.values, 0);
  const positive = length - notPositive;
  const below = roundHalfToEven(((clusters - 1) * negative) / Math.max(1, negative + positive));
  const all = [
    ...startCentroids(start, sorted, 0, negative, below, random),
    0,
    ...startCentroids(start, sorted, notPositive, length, clusters - 1 - below, random),
  ];
  return Float64Array.from(new Set(all)).sort();
}

function countBelowZero(values: Float32Array): number {
  return countUpTo(values, -Number.MIN_VALUE);
}

/** Where the values of each centroid begin and end; true when something changed. */
function findEdges({ values }: SortedValues, centroids: Float64Array, edges: Int32Array): boolean {
  const last = centroids.length;
  let changed = false;
  for (let k = 1; k <= last; k++) {
    const limit = k === last ? Number.POSITIVE_INFINITY : (centroids[k - 1]! + centroids[k]!) / 2;
    const edge = countUpTo(values, limit, edges[k - 1]!);
    if (edge !== edges[k]) changed = true;
    edges[k] = edge;
  }
  return changed;
}

/** Every centroid with values moves to their mean, but for one that stays at zero. */
function moveToMeans(
  { values, sums }: SortedValues,
  centroids: Float64Array,
  edges: Int32Array,
  zero: boolean,
): void {
  for (let k = 0; k < centroids.length; k++) {
    const begin = edges[k]!;
    const end = edges[k + 1]!;
    if (end === begin || (zero && centroids[k] === 0)) continue;
    const mean = (sums[end]! - sums[begin]!) / (end - begin);
    // Sums of values of very different size are not exact, and a mean lies among its values.
    centroids[k] = Math.min(values[end - 1]!, Math.max(values[begin]!, mean));
  }
}
