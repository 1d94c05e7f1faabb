// What only Node can do: files and the terminal. Browsers get platform.browser.ts instead.
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import zlib from 'node:zlib';
import { FileFormatError } from './errors.ts';
import type { Bar, ProgressEvent } from './progress-event.ts';
import { formatDuration } from './progress-event.ts';

/** CRC-32 of some bytes, where the engine has it: Node from 20.15 and 22.2 on. */
export const nativeCrc32: ((bytes: Uint8Array) => number) | undefined = zlib.crc32;

/**
 * The bytes of a file, or undefined where there is no such file.
 *
 * @throws {FileFormatError} for a folder; what the system says where the file may not be read.
 */
export async function readBytes(path: string): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    const buffer = await readFile(path);
    return new Uint8Array(buffer.buffer as ArrayBuffer, buffer.byteOffset, buffer.byteLength);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    if (code !== 'EISDIR') throw error;
    throw isFolder(path, error);
  }
}

/** Bytes that are read at a time, through memory that is used again. */
const PIECE = 65_536;

/**
 * Reads a file, all at once, to where `room` says; true where there is one.
 *
 * @throws {FileFormatError} for a folder; what the system says where the file may not be read.
 */
export function readInto(path: string, room: (bytes: number) => Uint8Array): boolean {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
  try {
    const stats = fstatSync(file);
    if (stats.isDirectory()) throw isFolder(path);
    if (!stats.isFile()) {
      const bytes = readFileSync(file);
      room(bytes.length).set(bytes);
      return true;
    }
    const into = room(stats.size);
    const piece = new Uint8Array(Math.min(PIECE, stats.size));
    for (let at = 0, count = 0; at < into.length; at += count) {
      count = readSync(file, piece, 0, Math.min(piece.length, into.length - at), null);
      if (count === 0) break;
      into.set(piece.subarray(0, count), at);
    }
    return true;
  } finally {
    closeSync(file);
  }
}

function isFolder(path: string, cause?: unknown): FileFormatError {
  return new FileFormatError(
    `"${path}" is a folder, where a file is needed. Give the name of a file in it.`,
    { cause },
  );
}

/** Tells apart several writes of one path at the same time. */
let writes = 0;

/**
 * Writes a file so that whoever reads it sees the old bytes or the new ones, never a part: into a
 * temporary file beside it, flushed to the disk, then renamed.
 */
export async function writeBytes(path: string, bytes: Uint8Array): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await removeLeftovers(path);
  const temporary = `${path}.${process.pid}.${writes++}.tmp`;
  try {
    const file = await open(temporary, 'w');
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0); // signal 0 only asks
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** Removes the temporary files of processes that were killed while they wrote `path`. */
async function removeLeftovers(path: string): Promise<void> {
  const prefix = `${basename(path)}.`;
  for (const name of await readdir(dirname(path))) {
    const writer = name.startsWith(prefix) && /^(\d+)\.\d+\.tmp$/.exec(name.slice(prefix.length));
    if (writer && !isRunning(Number(writer[1])))
      await rm(join(dirname(path), name), { force: true });
  }
}

/** Removes a file; no error where there is none. */
export async function removeFile(path: string): Promise<void> {
  await rm(path, { force: true });
}

/** The folder for downloaded data: $XDG_CACHE_HOME/thimble, or the system's usual place. */
export function cacheFolder(): string {
  const { XDG_CACHE_HOME, LOCALAPPDATA } = process.env;
  if (XDG_CACHE_HOME) return join(XDG_CACHE_HOME, 'thimble');
  if (process.platform === 'win32' && LOCALAPPDATA) return join(LOCALAPPDATA, 'thimble');
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'thimble');
  return join(homedir(), '.cache', 'thimble');
}

/** The value of an environment variable. */
export function environment(name: string): string | undefined {
  return process.env[name];
}

function describe(event: ProgressEvent): string {
  return Object.entries(event.values)
    .map(([name, value]) => `${name} ${typeof value === 'number' ? value.toPrecision(4) : value}`)
    .join('  ');
}

const LINE_INTERVAL_MS = 10_000;

/** A bar on standard error; where that is no terminal, a line every ten seconds. */
export function openBar(): Bar {
  if (!process.stderr.isTTY) {
    let last = performance.now();
    return {
      update(event) {
        if (performance.now() - last < LINE_INTERVAL_MS) return;
        last = performance.now();
        process.stderr.write(
          `${event.task}: ${event.done}/${event.total}  ${describe(event)}  ${formatDuration(event.remaining)} left\n`,
        );
      },
      stop() {},
    };
  }
  // Only here, so that a program that shows no bar does not wait for it to load.
  const { SingleBar } = createRequire(import.meta.url)(
    'cli-progress',
  ) as typeof import('cli-progress');
  const bar = new SingleBar({
    format: '{task} [{bar}] {value}/{total}  {text}  {left} left',
    barCompleteChar: '=',
    barIncompleteChar: ' ',
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
    fps: 10,
  });
  let running = false;
  return {
    update(event) {
      const payload = {
        task: event.task,
        text: describe(event),
        left: formatDuration(event.remaining),
      };
      if (!running) bar.start(event.total, event.done, payload);
      else bar.update(event.done, payload);
      running = true;
    },
    stop() {
      if (running) bar.stop();
    },
  };
}
