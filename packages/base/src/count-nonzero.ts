/**
 * Number of entries that are not zero.
 *
 * @example
 * countNonzero([0, 2, -1]); // 2
 */
export function countNonzero(values: ArrayLike<number>): number {
  let count = 0;
  for (let i = 0; i < values.length; i++) if (values[i] !== 0) count++;
  return count;
}
