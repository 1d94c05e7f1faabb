// Codes and texts by the arithmetic coder; packages/io/src/arithmetic describes their models.
import { sizeOf } from '@thimble/base';
import { DECODING_BYTES } from '@thimble/kernels/decoding';
import { type ByteReader, corrupt } from './reader.ts';
import type { Address, Workspace } from './workspace.ts';

const MOST_LAG = 2 ** 20;
/** Entries that are decoded at a time: an engine puts its fast code in place between two calls. */
const PORTION = 8192;
const ENDED = 1;

/** The codes of all entries. */
export function arithmeticCodes(reader: ByteReader, shape: number[], work: Workspace): Address {
  const size = sizeOf(shape);
  const columns = shape.at(-1) ?? 1;
  const rows = columns === 0 ? 0 : size / columns;
  const lag = reader.varint('the distance of rows', MOST_LAG);
  if (lag < 1) throw corrupt('rows have no distance');
  const { from, count } = reader.section('an arithmetic code');
  const codes = work.zeros(4 * size);
  const mark = work.mark;
  const kept = work.zeros(size + columns);
  const classes = work.take(rows);
  const near = work.take(columns);
  const model = work.take(DECODING_BYTES.codes + 4 * columns);
  work.begin(from, count);
  const portion = Math.ceil(PORTION / Math.max(1, columns));
  for (let row = 0; row < rows; row += portion) {
    const end = Math.min(rows, row + portion);
    const areas = [work.coder, work.tables, model, codes, kept, classes, near] as const;
    const wrong = work.kernels.codeRows(...areas, row, end, columns, lag);
    if (wrong === ENDED) throw corrupt('an arithmetic code ends too early');
    if (wrong !== 0) throw corrupt('a code is too large');
  }
  work.rewind(mark);
  return codes;
}

/** `length` bytes of a text whose code has `count` bytes from `from` on. */
export function arithmeticText(
  work: Workspace,
  from: number,
  count: number,
  length: number,
): Uint8Array {
  const mark = work.mark;
  const out = work.take(length);
  const model = work.take(DECODING_BYTES.text);
  work.begin(from, count);
  work.kernels.textBytes(work.coder, work.tables, model, out, length);
  work.rewind(mark);
  return work.bytes(out, length);
}
