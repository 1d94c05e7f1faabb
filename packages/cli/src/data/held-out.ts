// Examples to choose by, where none are given.
import { DataError, Random } from '@thimble/base';
import { type BatchSource, rowsOf } from 'thimble';

const HELD_OUT = 0.1;

/** All but a tenth of the examples, and that tenth. */
export function heldOut(source: BatchSource, seed: number): [BatchSource, BatchSource] {
  const size = Math.round(HELD_OUT * source.size);
  if (size < 1) {
    throw new DataError(
      `${source.size} examples are too few to hold some out for validation. Give --validation.`,
    );
  }
  const order = new Random(seed, 'validation').permutation(source.size);
  return [rowsOf(source, order.slice(size)), rowsOf(source, order.slice(0, size))];
}
