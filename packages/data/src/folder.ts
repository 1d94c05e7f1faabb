// Finding the files of a data set in a folder.
import { DataError, readBytes } from '@thimble/base';
import type { Catalogue } from './catalogue.ts';

/** A file of a data set; `name` is for messages. */
export interface NamedBytes {
  name: string;
  bytes: Uint8Array<ArrayBuffer>;
}

/** The bytes of the first of `names` that is there. */
async function readFirst(folder: string, names: string[]): Promise<NamedBytes | undefined> {
  for (const name of names) {
    const path = `${folder}/${name}`;
    let bytes: Uint8Array<ArrayBuffer> | undefined;
    try {
      bytes = await readBytes(path);
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === 'ENOTDIR') continue; // Part of the path is a file.
      throw new DataError(`Cannot read ${path} (${code ?? (error as Error).message}).`, {
        cause: error,
      });
    }
    if (bytes) return { name: path, bytes };
  }
  return undefined;
}

/** The names of the files of each layout, for messages. */
export function expectedFiles({ layouts }: Catalogue): string {
  return layouts.map((layout) => layout.map((names) => names[0]).join(', ')).join('; or ');
}

/**
 * The files of the data set in the folder, in the order of their layout, or undefined where it has none
 * of them. Throws a {@link DataError} where it has some but not all.
 */
export async function readFolder(
  folder: string,
  catalogue: Catalogue,
): Promise<NamedBytes[] | undefined> {
  let incomplete: { missing: string[] } | undefined;
  for (const layout of catalogue.layouts) {
    const files: NamedBytes[] = [];
    const missing: string[] = [];
    for (const names of layout) {
      const file = await readFirst(folder, names);
      if (file) files.push(file);
      else missing.push(names[0]!);
    }
    if (missing.length === 0) return files;
    if (files.length > 0) incomplete ??= { missing };
  }
  if (incomplete) {
    throw new DataError(
      `${catalogue.title} in ${folder} is incomplete: ${incomplete.missing.join(', ')} is missing. ` +
        `Expected: ${expectedFiles(catalogue)}.`,
    );
  }
  return undefined;
}
