// The browser's side of platform.node.ts: no files; what was downloaded goes to the Cache API.
import { memoryPart } from './memory-part.ts';
import type { Platform } from './platform.ts';

const CACHE = 'thimble-data';

/** The page's cache, or undefined where it has none (no https, storage switched off). */
async function openCache(): Promise<Cache | undefined> {
  try {
    return await globalThis.caches?.open(CACHE);
  } catch {
    return undefined;
  }
}

/** Cache entries are named by URLs; this one is never fetched. */
function keyOf(path: string): string {
  return `https://thimble.invalid/${path.replaceAll('\\', '/')}`;
}

export const platform: Platform = {
  hasFiles: false,

  async gunzip(bytes) {
    const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
    return new Uint8Array(await new Response(unpacked).arrayBuffer());
  },

  async openPart(path) {
    return memoryPart(async (bytes) => {
      try {
        await (await openCache())?.put(keyOf(path), new Response(bytes));
      } catch {
        // A full or forbidden cache costs a download next time, and nothing else.
      }
    });
  },

  async readKept(path) {
    const response = await (await openCache())?.match(keyOf(path));
    return response && new Uint8Array(await response.arrayBuffer());
  },

  async removeKept(path) {
    await (await openCache())?.delete(keyOf(path));
  },
};
