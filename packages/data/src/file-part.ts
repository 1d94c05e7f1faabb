// A download in a file: <name>.part holds the bytes, <name>.part.json what they are a part of, and
// <name>.part.lock the number of the process that writes them.
import { type FileHandle, mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Part, PartInfo } from './platform.ts';

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function ownerOf(path: string): Promise<number> {
  return Number(await readFile(path, 'utf8').catch(() => ''));
}

/** Takes the lock, also from a process that no longer runs; false where another one holds it. */
async function lock(path: string): Promise<boolean> {
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      await writeFile(path, String(process.pid), { flag: 'wx' });
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      // An empty lock is just being written, or was left so by a crash: a moment tells.
      if ((await ownerOf(path)) === 0) await new Promise((resolve) => setTimeout(resolve, 50));
      const owner = await ownerOf(path);
      if (owner > 0 && isAlive(owner)) return false;
      await rm(path, { force: true });
    }
  }
  return false;
}

async function readInfo(path: string): Promise<PartInfo | undefined> {
  try {
    const info = JSON.parse(await readFile(path, 'utf8')) as PartInfo;
    return typeof info.url === 'string' ? info : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Opens the partial download of `path`, or undefined where there can be none: the folder cannot be
 * written, or another download of the same file is under way.
 */
export async function openFilePart(path: string): Promise<Part | undefined> {
  const partial = `${path}.part`;
  const about = `${partial}.json`;
  const guard = `${partial}.lock`;
  let file: FileHandle;
  try {
    await mkdir(dirname(path), { recursive: true });
    if (!(await lock(guard))) return undefined;
    try {
      file = await open(partial, 'a+');
    } catch (error) {
      await rm(guard, { force: true });
      throw error;
    }
  } catch {
    return undefined;
  }
  let info = await readInfo(about);
  if (!info) await file.truncate(0);
  let length = (await file.stat()).size;

  const close = async (): Promise<void> => {
    await file.close();
    await rm(guard, { force: true });
  };
  return {
    get length() {
      return length;
    },
    get info() {
      return info;
    },
    async restart(next) {
      await file.truncate(0);
      length = 0;
      info = next;
      await writeFile(about, JSON.stringify(next));
    },
    async append(chunk) {
      await file.appendFile(chunk);
      length += chunk.length;
    },
    async read() {
      const bytes = new Uint8Array(length);
      let offset = 0;
      while (offset < length) {
        const { bytesRead } = await file.read(bytes, offset, length - offset, offset);
        if (bytesRead === 0) break;
        offset += bytesRead;
      }
      return bytes;
    },
    keep: close,
    async commit() {
      await file.sync();
      await file.close();
      await rename(partial, path);
      await rm(about, { force: true });
      await rm(guard, { force: true });
    },
    async discard() {
      await file.close();
      await rm(partial, { force: true });
      await rm(about, { force: true });
      await rm(guard, { force: true });
    },
  };
}
