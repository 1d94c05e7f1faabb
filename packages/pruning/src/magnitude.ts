// Which weights are the smallest.
import { checkRange, NonFiniteError } from '@thimble/base';

/**
 * A mask that removes the fraction `sparsity` of the values that is smallest in magnitude: exactly
 * `round(sparsity * n)` of them. Among equal magnitudes the one with the lower index goes first.
 *
 * @param values any number of values; they are not changed
 * @param sparsity fraction to remove, from 0 to 1
 * @returns 1 where a value stays, 0 where it goes
 * @throws {NonFiniteError} naming the first value that is NaN or infinite.
 * @example
 * magnitudeMask([3, -1, 2, 1], 0.25); // 1 0 1 1
 */
export function magnitudeMask(values: ArrayLike<number>, sparsity: number): Uint8Array {
  checkRange('magnitudeMask', 'sparsity', sparsity, 0, 1);
  const n = values.length;
  const mask = new Uint8Array(n).fill(1);
  const count = Math.round(sparsity * n);
  if (count === 0) return mask;
  const sizes = magnitudes(values);
  const threshold = selectSmallest(sizes.slice(), count - 1);
  let ties = count;
  for (const size of sizes) if (size < threshold) ties--;
  for (let i = 0; i < n; i++) {
    const size = sizes[i]!;
    if (size < threshold || (size === threshold && ties-- > 0)) mask[i] = 0;
  }
  return mask;
}

function magnitudes(values: ArrayLike<number>): Float64Array {
  const sizes = new Float64Array(values.length);
  for (let i = 0; i < sizes.length; i++) {
    const value = values[i]!;
    if (!Number.isFinite(value)) {
      throw new NonFiniteError(
        `magnitudeMask: value ${i} is ${value}; there is no order to prune by.`,
      );
    }
    sizes[i] = Math.abs(value);
  }
  return sizes;
}

/** The value of rank `rank` (0 is the smallest): Hoare's quickselect, in place, median of three. */
function selectSmallest(values: Float64Array, rank: number): number {
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
