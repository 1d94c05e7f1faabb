// Getting the files of a data set: from a folder, the cache, or the network.
import {
  cacheFolder,
  DataError,
  DownloadError,
  environment,
  hashSeed,
  OptionError,
} from '@thimble/base';
import { platform } from '#platform';
import type { Catalogue, RemoteFile } from './catalogue.ts';
import { download, PATIENCE, type Patience } from './download.ts';
import { expectedFiles, type NamedBytes, readFolder } from './folder.ts';
import { isGzip } from './gzip.ts';
import type { ResolvedOptions } from './options.ts';

/** The files of a data set and where they came from, for example "/data/mnist". */
export interface FetchedFiles {
  files: NamedBytes[];
  origin: string;
}

/** Throws when the file does not hold what its name promises. */
export type CheckFile = (file: NamedBytes) => Promise<void>;

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string | undefined> {
  // Browsers have no digests on pages without https; length and format are checked there all the same.
  if (!globalThis.crypto?.subtle) return undefined;
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** Why the bytes are not the remote file, or nothing when they are. */
async function faultOf(
  bytes: Uint8Array<ArrayBuffer>,
  { name, size, sha256: expected }: Partial<RemoteFile> & { name: string },
  checkFile: CheckFile,
): Promise<string | undefined> {
  // A server may have unpacked the file on the way; size and sum are those of the packed one.
  if (size !== undefined && isGzip(bytes)) {
    if (bytes.length !== size) return `${bytes.length} bytes where ${size} were expected`;
    const found = expected && (await sha256(bytes));
    if (found && found !== expected) return `wrong bytes: SHA-256 ${found}, expected ${expected}`;
    if (found) return undefined;
  }
  try {
    await checkFile({ name, bytes });
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** The address that a source means, or undefined where it is a folder. */
function addressOf(source: string): string | undefined {
  const folder = source.endsWith('/') ? source : `${source}/`;
  if (/^https?:/i.test(source)) return URL.canParse(folder) ? folder : undefined;
  if (platform.hasFiles) return undefined;
  return new URL(folder, globalThis.location?.href).href;
}

async function fromFolder(folder: string, catalogue: Catalogue): Promise<FetchedFiles> {
  for (const place of [folder, `${folder}/${catalogue.folder}`]) {
    const files = await readFolder(place, catalogue);
    if (files) return { files, origin: place };
  }
  throw new DataError(
    `${catalogue.title}: there are no such files in ${folder}. Expected: ${expectedFiles(catalogue)}, ` +
      'gzipped or not, under these names.',
  );
}

/** Downloads each file from a place that the user named: checked for form, not for its sum, not kept. */
async function fromAddress(
  address: string,
  catalogue: Catalogue,
  check: CheckFile,
  options: ResolvedOptions,
): Promise<FetchedFiles> {
  const files: NamedBytes[] = [];
  for (const { name } of catalogue.remote) {
    const plain = name.replace(/\.gz$/, '');
    const bytes = await download({
      ...options,
      title: `${catalogue.title} ${name}`,
      urls: [new URL(name, address).href, new URL(plain, address).href],
      path: `${cacheFolder() ?? ''}/downloads/${hashSeed(address)}/${name}`,
      keep: false,
      check: (received) => faultOf(received, { name }, check),
      patience: PATIENCE,
    });
    files.push({ name: `${address}${name}`, bytes });
  }
  return { files, origin: address };
}

/** The cached files, and from the mirrors those that are missing or damaged. */
async function fromMirrors(
  catalogue: Catalogue,
  check: CheckFile,
  options: ResolvedOptions,
  patience: Patience,
): Promise<FetchedFiles> {
  const cache = `${cacheFolder() ?? 'cache'}/${catalogue.folder}`;
  const unreachable = new Set<string>();
  const files: NamedBytes[] = [];
  let downloaded = false;
  for (const remote of catalogue.remote) {
    const path = `${cache}/${remote.name}`;
    let bytes = await platform.readKept(path);
    if (bytes && (await faultOf(bytes, remote, check)) !== undefined) {
      await platform.removeKept(path);
      bytes = undefined;
    }
    if (!bytes) {
      downloaded = true;
      // A server that has once answered is given more time.
      const known = files.length > 0 && unreachable.size < catalogue.mirrors.length;
      bytes = await download({
        ...options,
        title: `${catalogue.title} ${remote.name}`,
        urls: catalogue.mirrors.map((mirror) => new URL(remote.name, mirror).href),
        path,
        keep: true,
        size: remote.size,
        check: (received) => faultOf(received, remote, check),
        unreachable,
        patience: known ? { ...patience, contactTimeout: PATIENCE.contactTimeout } : patience,
      });
    }
    files.push({ name: path, bytes });
  }
  return { files, origin: downloaded ? 'its public mirrors' : cache };
}

/** What to do where the mirrors are out of reach. */
export function remedy({ folder }: Catalogue): string {
  return platform.hasFiles
    ? `set THIMBLE_DATA_DIR to a folder with ${folder}/ in it`
    : 'give the address of a folder with its files as source';
}

/** With no network at all, 'auto' must give up within seconds, and a mirror that is down is no reason to wait. */
const FIRST_CONTACT: Patience = { ...PATIENCE, contactTimeout: 3000 };

/**
 * Gets the files of a data set from the place that `options.source` names; see {@link DatasetOptions}.
 * Throws a `DataError` when a folder lacks files, a `DownloadError` when the network does.
 */
export async function fetchFiles(
  catalogue: Catalogue,
  check: CheckFile,
  options: ResolvedOptions,
  patience: Patience = FIRST_CONTACT,
): Promise<FetchedFiles> {
  const { source, signal } = options;
  signal?.throwIfAborted();
  if (source !== 'auto') {
    const address = addressOf(source);
    if (address) return fromAddress(address, catalogue, check, options);
    if (/^https?:/i.test(source)) throw new OptionError(`"${source}" is no valid address.`);
    return fromFolder(source, catalogue);
  }
  const root = environment('THIMBLE_DATA_DIR');
  const folder = `${root}/${catalogue.folder}`;
  const files = root ? await readFolder(folder, catalogue) : undefined;
  if (files) return { files, origin: folder };
  try {
    return await fromMirrors(catalogue, check, options, patience);
  } catch (error) {
    if (!(error instanceof DownloadError)) throw error;
    throw new DownloadError(
      `${error.message}\nTo use ${catalogue.title} without them, ${remedy(catalogue)}. ` +
        `It must hold: ${expectedFiles(catalogue)}.`,
      { cause: error },
    );
  }
}
