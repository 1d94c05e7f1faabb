// Which scores are the lowest: by selection, not by sorting, and exact where scores are equal.
import { NonFiniteError } from '@thimble/base';

/**
 * Keeps all but the `count` lowest scores. Among equal scores the one with the lower index goes first, so
 * that exactly `count` go.
 *
 * @param scores any numbers, minus infinity for what must go and infinity for what must stay included
 * @param owner named in errors
 * @returns 1 where a score is kept, 0 where it is among the lowest
 * @throws {NonFiniteError} naming the first score that is NaN.
 * @example
 * keepHighest(Float64Array.of(3, 1, 2, 1), 1, 'example'); // 1 0 1 1
 */
export function keepHighest(scores: Float64Array, count: number, owner: string): Uint8Array {
  checkScores(scores, owner);
  const n = scores.length;
  const kept = new Uint8Array(n).fill(1);
  if (count <= 0) return kept;
  if (count >= n) return kept.fill(0);
  const threshold = valueOfRank(scores, count - 1);
  let ties = count;
  for (let i = 0; i < n; i++) if (scores[i]! < threshold) ties--;
  for (let i = 0; i < n; i++) {
    const score = scores[i]!;
    if (score < threshold || (score === threshold && ties-- > 0)) kept[i] = 0;
  }
  return kept;
}

/**
 * The same over units of different sizes: the lowest go one after the other as long as their sizes add up
 * to at most `total`. A unit that does not fit ends it; so never more goes than asked for.
 */
export function keepHighestSized(
  scores: Float64Array,
  sizes: ArrayLike<number>,
  total: number,
  owner: string,
): Uint8Array {
  checkScores(scores, owner);
  const n = scores.length;
  const kept = new Uint8Array(n).fill(1);
  const buckets = bucketsOf(scores);
  const filled = new Float64Array(BUCKETS);
  for (let i = 0; i < n; i++) filled[buckets[i]!]! += sizes[i]!;
  // All buckets below the last one go as a whole, of this one some, in order.
  let last = 0;
  let gone = 0;
  while (last < BUCKETS && gone + filled[last]! <= total) gone += filled[last++]!;
  const rest: number[] = [];
  for (let i = 0; i < n; i++) {
    if (buckets[i]! < last) kept[i] = 0;
    else if (buckets[i] === last) rest.push(i);
  }
  for (const unit of rest.sort((a, b) => compare(scores[a]!, scores[b]!) || a - b)) {
    gone += sizes[unit]!;
    if (gone > total) break;
    kept[unit] = 0;
  }
  return kept;
}

/** Order of two numbers, infinities included. */
function compare(a: number, b: number): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function checkScores(scores: Float64Array, owner: string): void {
  for (let i = 0; i < scores.length; i++) {
    if (Number.isNaN(scores[i]!)) {
      throw new NonFiniteError(
        `${owner}: score ${i} is NaN; there is no order to prune by. Check the weights and the data.`,
      );
    }
  }
}

const BUCKETS = 65536;
const single = new Float32Array(1);
const bits = new Uint32Array(single.buffer);

/**
 * A number of 16 bits for each score: a lower bucket means a lower score. It is the upper half of the
 * score rounded to 32 bits, with the sign turned so that the order is that of whole numbers; -0 counts as 0.
 */
function bucketsOf(scores: Float64Array): Uint16Array {
  const buckets = new Uint16Array(scores.length);
  for (let i = 0; i < scores.length; i++) {
    single[0] = scores[i]! + 0;
    const word = bits[0]!;
    buckets[i] = (word >>> 31 === 1 ? ~word : word | 0x80000000) >>> 16;
  }
  return buckets;
}

/** The score of rank `rank` (0 is the smallest). Of many scores only those of one bucket are looked at. */
export function valueOfRank(scores: Float64Array, rank: number): number {
  if (scores.length < BUCKETS) return selectSmallest(scores.slice(), rank);
  const buckets = bucketsOf(scores);
  const filled = new Uint32Array(BUCKETS);
  for (let i = 0; i < buckets.length; i++) filled[buckets[i]!]!++;
  let bucket = 0;
  let below = 0;
  while (below + filled[bucket]! <= rank) below += filled[bucket++]!;
  const values = new Float64Array(filled[bucket]!);
  let count = 0;
  for (let i = 0; i < buckets.length; i++) if (buckets[i] === bucket) values[count++] = scores[i]!;
  return selectSmallest(values, rank - below);
}

/** The value of rank `rank` (0 is the smallest): Hoare's quickselect, in place, median of three. */
export function selectSmallest(values: Float64Array, rank: number): number {
  let low = 0;
  let high = values.length - 1;
  while (low < high) {
    const pivot = median(values[low]!, values[(low + high) >> 1]!, values[high]!);
    let i = low;
    let j = high;
    while (i <= j) {
      while (values[i]! < pivot) i++;
      while (values[j]! > pivot) j--;
      if (i > j) break;
      const swapped = values[i]!;
      values[i++] = values[j]!;
      values[j--] = swapped;
    }
    if (rank <= j) high = j;
    else if (rank >= i) low = i;
    else break;
  }
  return values[rank]!;
}

function median(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}
