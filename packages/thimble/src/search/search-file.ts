// Where the trials of a search are kept, so that an interrupted one goes on.
import { CheckpointError, readBytes, writeBytes } from '@thimble/base';
import type { TrialRecord } from './search-trials.ts';

/** The trials that are kept. */
export interface SearchFile {
  find(id: string): TrialRecord | undefined;
  /** Adds a trial and writes the file, all at once. */
  keep(record: TrialRecord): Promise<void>;
}

interface Content {
  /** What trials depend on. */
  search: unknown;
  trials: TrialRecord[];
}

/**
 * Opens the file, or none. `search` is what all trials depend on.
 *
 * @throws {CheckpointError} for a damaged file, and one of another search.
 */
export async function openSearchFile(
  path: string | undefined,
  search: unknown,
): Promise<SearchFile> {
  const records = new Map<string, TrialRecord>();
  const own = JSON.parse(JSON.stringify(search)) as unknown;
  if (path !== undefined) {
    const bytes = await readBytes(path);
    const content = bytes && parse(path, bytes);
    if (content && JSON.stringify(content.search) !== JSON.stringify(own)) {
      throw new CheckpointError(
        `search: ${path} is of another search: space, goal, seed or data differ. Delete it, or give another file.`,
      );
    }
    for (const record of content?.trials ?? []) records.set(record.id, record);
  }
  let writing = Promise.resolve();
  return {
    find: (id) => records.get(id),
    keep: (record) => {
      if (records.get(record.id) === record || path === undefined) return Promise.resolve();
      records.set(record.id, record);
      // One after the other: what is written last has all trials.
      writing = writing.then(() => {
        const content: Content = { search: own, trials: [...records.values()] };
        return writeBytes(path, new TextEncoder().encode(`${JSON.stringify(content, null, 1)}\n`));
      });
      return writing;
    },
  };
}

function parse(path: string, bytes: Uint8Array): Content {
  try {
    const content = JSON.parse(new TextDecoder().decode(bytes)) as Content;
    if (!Array.isArray(content.trials)) throw new Error('no trials');
    return content;
  } catch (cause) {
    throw new CheckpointError(
      `search: ${path} is damaged, or no file of a search. Delete it to begin anew.`,
      { cause },
    );
  }
}
