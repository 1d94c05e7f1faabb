// What is at an address.
import { FileFormatError, readBytes, readInto } from '@thimble/base';

const FILE = 'file://';

/**
 * The bytes at a file:// address: of the path as it stands, else with %20 and the like read as in other addresses.
 * Relative ones are relative to the working directory.
 *
 * @throws {FileFormatError} where there is no such file.
 */
export async function bytesAt(owner: string, address: string): Promise<Uint8Array<ArrayBuffer>> {
  const path = pathOf(address);
  const bytes = (await readBytes(path)) ?? (await readBytes(unescaped(path)));
  if (bytes) return bytes;
  throw new FileFormatError(`${owner}: there is no file "${path}".`);
}

/**
 * Reads what {@link bytesAt} finds to where `room` says.
 *
 * @throws {FileFormatError} where there is no such file.
 */
export function readAt(owner: string, address: string, room: (bytes: number) => Uint8Array): void {
  const path = pathOf(address);
  if (readInto(path, room) || readInto(unescaped(path), room)) return;
  throw new FileFormatError(`${owner}: there is no file "${path}".`);
}

function pathOf(address: string): string {
  return address.slice(FILE.length).replace(/^\/(?=[A-Za-z]:)/, '');
}

function unescaped(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path; // A % that stands for itself.
  }
}

/**
 * A stream of what is at an http(s) address, or at one relative to the page.
 *
 * @throws {FileFormatError} where nothing is there; the signal's reason.
 */
export async function streamAt(
  owner: string,
  address: string,
  signal?: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  let status: string;
  try {
    const response = await fetch(address, signal ? { signal } : {});
    if (response.ok && response.body) return response.body;
    status = `${response.status} ${response.statusText}`;
  } catch (error) {
    signal?.throwIfAborted();
    status = (error as Error).message;
  }
  throw new FileFormatError(
    `${owner}: "${address}" could not be fetched: ${status}. The address of a file in Node begins with "${FILE}".`,
  );
}
