// The browser's side of platform.node.ts: no files, no terminal.
import { UnsupportedError } from './errors.ts';
import type { Bar } from './progress-event.ts';

export const nativeCrc32: ((bytes: Uint8Array) => number) | undefined = undefined;

function noFiles(path: string): UnsupportedError {
  return new UnsupportedError(
    `There is no file system in a browser, so "${path}" is out of reach.`,
  );
}

export async function readBytes(path: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  throw noFiles(path);
}

export function readInto(path: string, _room: (bytes: number) => Uint8Array): boolean {
  throw noFiles(path);
}

export async function writeBytes(path: string, _bytes: Uint8Array): Promise<void> {
  throw noFiles(path);
}

export async function removeFile(path: string): Promise<void> {
  throw noFiles(path);
}

export function cacheFolder(): string | undefined {
  return undefined;
}

export function environment(_name: string): string | undefined {
  return undefined;
}

export function openBar(): Bar {
  return { update() {}, stop() {} };
}
