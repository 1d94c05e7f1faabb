// A download kept in memory: in browsers, and where the cache folder cannot be written or is in use.
import type { Part, PartInfo } from './platform.ts';

/** A {@link Part} in memory; `commit` hands the bytes to `store`. */
export function memoryPart(store: (bytes: Uint8Array<ArrayBuffer>) => Promise<void>): Part {
  let info: PartInfo | undefined;
  let chunks: Uint8Array[] = [];
  let length = 0;
  const read = async (): Promise<Uint8Array<ArrayBuffer>> => {
    const bytes = new Uint8Array(length);
    let offset = 0;
    for (const chunk of chunks) {
      bytes.set(chunk, offset);
      offset += chunk.length;
    }
    return bytes;
  };
  const forget = async (): Promise<void> => {
    chunks = [];
    length = 0;
    info = undefined;
  };
  return {
    get length() {
      return length;
    },
    get info() {
      return info;
    },
    async restart(next) {
      await forget();
      info = next;
    },
    async append(chunk) {
      chunks.push(chunk);
      length += chunk.length;
    },
    read,
    keep: forget,
    commit: async () => store(await read()),
    discard: forget,
  };
}
