// Some of the examples of a source.
import type { BatchSource } from './training.ts';

/**
 * Some of the examples, in this order.
 *
 * @example
 * const few = rowsOf(await toSource(train), Uint32Array.of(2, 0, 1));
 */
export function rowsOf(source: BatchSource, rows: Uint32Array): BatchSource {
  return {
    size: rows.length,
    ...(source.varies === undefined ? {} : { varies: source.varies }),
    batch: (indices, random) =>
      source.batch(
        Uint32Array.from(indices, (index) => rows[index]!),
        random,
      ),
  };
}
