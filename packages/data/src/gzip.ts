// Gzip, told from plain bytes by its first two.
import { FileFormatError } from '@thimble/base';
import { platform } from '#platform';

/** Whether the bytes begin as gzip does (RFC 1952: 1f 8b). */
export function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

/**
 * The bytes themselves, or unpacked where they are gzip. Throws a {@link FileFormatError} that names
 * the file when the gzip data is damaged, truncated or followed by other bytes.
 */
export async function unpack(
  bytes: Uint8Array<ArrayBuffer>,
  name: string,
): Promise<Uint8Array<ArrayBuffer>> {
  if (!isGzip(bytes)) return bytes;
  try {
    return await platform.gunzip(bytes);
  } catch (error) {
    throw new FileFormatError(
      `${name}: damaged gzip data in a file of ${bytes.length} bytes (${(error as Error).message}). ` +
        'Download it again.',
      { cause: error },
    );
  }
}
