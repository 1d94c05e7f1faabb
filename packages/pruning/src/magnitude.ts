// Which weights are the smallest.
import { checkRange, NonFiniteError } from '@thimble/base';
import { keepHighest } from './select.ts';

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
  return keepHighest(sizes, Math.round(sparsity * sizes.length), 'magnitudeMask');
}
