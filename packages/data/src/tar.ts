// Reading a tar archive (POSIX ustar): 512-byte headers, each followed by its file in whole blocks.
// Fifty lines that need no long names, links or sparse files stand for a dependency here.
import { FileFormatError } from '@thimble/base';

const BLOCK = 512;

function text(header: Uint8Array, start: number, length: number): string {
  const field = header.subarray(start, start + length);
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
}

/** Octal digits, as tar writes all numbers. */
function octal(header: Uint8Array, start: number, length: number): number {
  return Number.parseInt(text(header, start, length).trim() || '0', 8);
}

/** The sum over the header with its checksum field (8 bytes at 148) taken as spaces. */
function checksum(header: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 32 : header[i]!;
  return sum;
}

/**
 * The regular files of an unpacked archive by path, as views of its bytes. Throws a `FileFormatError`
 * when a header is damaged or the archive ends before its files do.
 *
 * @param name what to call the archive in an error.
 */
export function readTar(bytes: Uint8Array, name: string): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  let offset = 0;
  while (offset + BLOCK <= bytes.length) {
    const header = bytes.subarray(offset, offset + BLOCK);
    // Two blocks of zeros end the archive; one is enough to see it.
    if (header.every((byte) => byte === 0)) return files;
    if (checksum(header) !== octal(header, 148, 8)) {
      throw new FileFormatError(`${name}: not a tar archive, or damaged at byte ${offset}.`);
    }
    const size = octal(header, 124, 12);
    const start = offset + BLOCK;
    if (!(start + size <= bytes.length)) {
      throw new FileFormatError(
        `${name}: truncated. Expected ${size} bytes of ${text(header, 0, 100)} from byte ${start}, found ${bytes.length - start}.`,
      );
    }
    const type = text(header, 156, 1);
    if (type === '' || type === '0') {
      const prefix = text(header, 257, 5) === 'ustar' ? text(header, 345, 155) : '';
      const path = text(header, 0, 100);
      files.set(prefix ? `${prefix}/${path}` : path, bytes.subarray(start, start + size));
    }
    offset = start + Math.ceil(size / BLOCK) * BLOCK;
  }
  throw new FileFormatError(`${name}: truncated, the end of the archive is missing.`);
}
