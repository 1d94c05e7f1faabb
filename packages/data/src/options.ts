// The options that all data sets share.
import { checkInteger, checkOptions, OptionError, type ProgressOption } from '@thimble/base';

/** Options of every data set. */
export interface DatasetOptions {
  /**
   * Where the files come from.
   * - `'auto'` (the default): the folder of the data set under `THIMBLE_DATA_DIR`; then the user's
   *   cache; then a download from public mirrors into the cache.
   * - `'synthetic'`, for MNIST only: digits drawn by a program.
   * - a folder that holds the files under their original names, gzipped or not;
   * - the http(s) address of a folder that holds them. In a browser, an address relative to the page too.
   *
   * Downloads from the known mirrors must match a SHA-256 sum. Files of a folder or address that you
   * name are checked for form (length, magic, counts, labels), so that they may hold another set of
   * the same form; what comes from an address is not cached.
   */
  source?: string;
  /** At most this many images of each part, the first ones; at least 1. Default: all. */
  limit?: number;
  /** Stops a download, or the drawing or distortion of images; the promise rejects with its reason. */
  signal?: AbortSignal;
  /** A bar on a terminal (`true`, the default), silence, or a function that gets every report. */
  onProgress?: ProgressOption;
}

/** Options with every default filled in. */
export interface ResolvedOptions {
  source: string;
  limit: number;
  signal: AbortSignal | undefined;
  onProgress: ProgressOption;
}

/** Checks the shared options and fills in defaults. `extra`: names of further options of the owner. */
export function resolveOptions(
  owner: string,
  options: DatasetOptions,
  extra: readonly string[] = [],
): ResolvedOptions {
  checkOptions(owner, options, ['source', 'limit', 'signal', 'onProgress', ...extra]);
  const { source = 'auto', limit, signal, onProgress = true } = options;
  if (typeof source !== 'string' || source === '') {
    throw new OptionError(
      `${owner}: source must be 'auto', a folder or an address, not ${JSON.stringify(source)}.`,
    );
  }
  if (limit !== undefined) checkInteger(owner, 'limit', limit, 1);
  return { source, limit: limit ?? Number.POSITIVE_INFINITY, signal, onProgress };
}
