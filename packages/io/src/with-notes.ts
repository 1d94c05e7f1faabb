// Other notes in a file that is written.
import type { FileNotes } from '@thimble/runtime/file';
import { decodeParts } from '@thimble/runtime/file';
import { checkNotes } from './encode.ts';
import { joinFile } from './write-file.ts';

/** A file with other notes. */
export interface Noted {
  bytes: Uint8Array<ArrayBuffer>;
  /** Bytes of all but the weights: topology, notes, checksum. */
  header: number;
}

/**
 * A `.thimble` file with other notes: those that are given take the place of those that it has, and the others stay. The
 * weights are not encoded again, they stay byte for byte.
 *
 * @throws {FileFormatError} for bytes that are damaged or no `.thimble` file; {OptionError} for notes that JSON
 *   cannot hold.
 * @example
 * const bytes = await encode(model);
 * const noted = withNotes(bytes, { labels: ['zero', 'one'], report: { accuracy: 0.98 } });
 * console.log(noted.bytes.length - bytes.length);
 */
export function withNotes(file: Uint8Array, notes: FileNotes): Noted {
  checkNotes('withNotes', notes);
  const { file: old, from, to } = decodeParts(file);
  const { graph, version, bytes: length, ...kept } = old;
  const bytes = joinFile(graph, { ...kept, ...notes }, file.subarray(from, to));
  return { bytes, header: bytes.length - (to - from) };
}
