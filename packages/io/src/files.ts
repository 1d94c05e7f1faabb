// Where files are.
import { FileFormatError, OptionError, readBytes } from '@thimble/base';

const FILE = 'file://';

/** The path in a file:// address; relative ones are relative to the working directory. */
export function pathOf(owner: string, address: string): string {
  if (!address.startsWith(FILE)) {
    throw new OptionError(
      `${owner}: "${address}" is no place for a file. Use an address such as "file://model.thimble".`,
    );
  }
  const path = address.slice(FILE.length);
  if (path === '') throw new OptionError(`${owner}: "${address}" names no file.`);
  return /^\/[A-Za-z]:/.test(path) ? path.slice(1) : path;
}

/** The bytes of a file that must be there. */
export async function bytesOf(owner: string, path: string): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = await readBytes(path);
  if (!bytes) throw new FileFormatError(`${owner}: there is no file "${path}".`);
  return bytes;
}
