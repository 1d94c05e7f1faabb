import { createHash } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { DataError, DownloadError, OptionError } from '@thimble/base';
import { beforeEach, describe, expect, test } from 'vitest';
import { type Catalogue, MNIST } from '../src/catalogue.ts';
import { checkIdxFile } from '../src/decode-idx.ts';
import { type FetchedFiles, fetchFiles } from '../src/fetch-files.ts';
import { gzip, madeMnist, send, serve, setEnvironment, temporaryFolder } from './helpers.ts';

const FILES = Object.entries(madeMnist()).map(
  ([name, bytes]) => [`${name}.gz`, gzip(bytes)] as const,
);
const patience = { contactTimeout: 10_000, stallTimeout: 5000, attempts: 2, backoff: 1 };

/** A catalogue as MNIST's, of the made files at these mirrors. */
function catalogue(...mirrors: string[]): Catalogue {
  return {
    ...MNIST,
    title: 'made',
    folder: 'made',
    mirrors,
    remote: FILES.map(([name, bytes]) => ({
      name,
      size: bytes.length,
      sha256: createHash('sha256').update(bytes).digest('hex'),
    })),
  };
}

function fetched(from: Catalogue, source: string = 'auto'): Promise<FetchedFiles> {
  const options = { source, limit: 10, signal: undefined, onProgress: false as const };
  return fetchFiles(from, checkIdxFile, options, patience);
}

/** Writes the made files, packed or not, and those left out by name. */
function fill(folder: string, unpacked: boolean = false, without: string = ''): void {
  mkdirSync(folder, { recursive: true });
  for (const [name, bytes] of unpacked ? Object.entries(madeMnist()) : FILES) {
    if (name !== without) writeFileSync(`${folder}/${name}`, bytes);
  }
}

const mirror = () =>
  serve((request, response) => {
    const file = FILES.find(([name]) => request.url === `/${name}`);
    if (file) send(request, response, file[1], { etag: '"1"' });
    else response.writeHead(404).end();
  });

let cache: string;
beforeEach(() => {
  cache = temporaryFolder();
  setEnvironment({ THIMBLE_DATA_DIR: undefined, XDG_CACHE_HOME: cache });
});

describe("source: 'auto'", () => {
  test('takes THIMBLE_DATA_DIR first, and asks nobody', async () => {
    const root = temporaryFolder();
    fill(`${root}/made`);
    setEnvironment({ THIMBLE_DATA_DIR: root });
    const server = await mirror();
    const { files, origin } = await fetched(catalogue(server.url));
    expect(origin).toBe(`${root}/made`);
    expect(files).toHaveLength(4);
    expect(server.requests).toEqual([]);
  });

  test('a THIMBLE_DATA_DIR without the data set is passed by, with half of it is an error', async () => {
    const root = temporaryFolder();
    setEnvironment({ THIMBLE_DATA_DIR: root });
    const server = await mirror();
    expect((await fetched(catalogue(server.url))).origin).toBe('its public mirrors');
    fill(`${root}/made`, false, 't10k-labels-idx1-ubyte.gz');
    const error = await fetched(catalogue(server.url)).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DataError);
    expect((error as Error).message).toContain(
      `made in ${root}/made is incomplete: t10k-labels-idx1-ubyte.gz is missing`,
    );
  });

  test('downloads into the cache, once', async () => {
    const server = await mirror();
    const first = await fetched(catalogue(server.url));
    expect(first.origin).toBe('its public mirrors');
    expect(server.requests).toEqual(FILES.map(([name]) => `/${name}`));
    expect(readdirSync(`${cache}/thimble/made`).sort()).toEqual(FILES.map(([name]) => name).sort());
    const second = await fetched(catalogue(server.url));
    expect(second.origin).toBe(`${cache}/thimble/made`);
    expect(second.files.map((file) => [...file.bytes])).toEqual(
      first.files.map((file) => [...file.bytes]),
    );
    expect(server.requests).toHaveLength(4);
  });

  test('downloads again what is damaged in the cache', async () => {
    const server = await mirror();
    fill(`${cache}/thimble/made`);
    const [name, bytes] = FILES[1]!;
    writeFileSync(`${cache}/thimble/made/${name}`, bytes.slice(0, -1));
    await fetched(catalogue(server.url));
    expect(server.requests).toEqual([`/${name}`]);
    expect(readFileSync(`${cache}/thimble/made/${name}`).equals(bytes)).toBe(true);
  });

  test('goes on to the next mirror when one serves other bytes or none', async () => {
    const other = gzip(madeMnist(7, 4)['train-images-idx3-ubyte']!.map((byte) => byte ^ 1));
    const wrong = await serve((request, response) => send(request, response, other));
    const good = await mirror();
    const { files } = await fetched(catalogue('http://127.0.0.1:9/', wrong.url, good.url));
    expect([...files[0]!.bytes]).toEqual([...FILES[0]![1]]);
  });

  test('with no network it gives up at once and says what to do', async () => {
    const started = performance.now();
    const from = catalogue('http://thimble.invalid/a/', 'http://other.invalid/a/');
    const error = await fetched(from).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(DownloadError);
    expect((error as Error).message).toContain('THIMBLE_DATA_DIR');
    expect((error as Error).message).toContain('train-images-idx3-ubyte.gz');
    expect(performance.now() - started).toBeLessThan(3000);
    expect(readdirSync(`${cache}/thimble/made`)).toEqual([]);
  });
});

describe('a folder', () => {
  test.each([false, true])('holds the files gzipped or not (%s)', async (unpacked) => {
    const folder = temporaryFolder();
    fill(folder, unpacked);
    const { files, origin } = await fetched(catalogue(), folder);
    expect([files.length, origin]).toEqual([4, folder]);
  });

  test('may be the one above', async () => {
    const folder = temporaryFolder();
    fill(`${folder}/made`);
    expect((await fetched(catalogue(), folder)).origin).toBe(`${folder}/made`);
  });

  test('that lacks them is an error that names it and what is missing', async () => {
    const folder = temporaryFolder();
    for (const place of [folder, `${folder}/nowhere`, import.meta.filename]) {
      const error = await fetched(catalogue(), place).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(DataError);
      expect((error as Error).message).toContain(place);
      expect((error as Error).message).toContain('t10k-labels-idx1-ubyte');
    }
    fill(folder, true, 'train-images-idx3-ubyte');
    await expect(fetched(catalogue(), folder)).rejects.toThrow(
      'train-images-idx3-ubyte.gz is missing',
    );
    mkdirSync(`${folder}/train-images-idx3-ubyte`);
    await expect(fetched(catalogue(), folder)).rejects.toThrow(/Cannot read .*is a folder/);
  });
});

describe('an address', () => {
  test('is asked for the files, which are not kept', async () => {
    const server = await mirror();
    const { files, origin } = await fetched(catalogue(), server.url.slice(0, -1));
    expect(origin).toBe(server.url);
    expect([...files[3]!.bytes]).toEqual([...FILES[3]![1]]);
    await fetched(catalogue(), server.url);
    expect(server.requests).toHaveLength(8);
  });

  test('may hold them unpacked', async () => {
    const made = madeMnist();
    const server = await serve((request, response) => {
      const bytes = made[request.url!.slice(1)];
      if (bytes) send(request, response, bytes);
      else response.writeHead(404).end();
    });
    expect((await fetched(catalogue(), server.url)).files).toHaveLength(4);
  });

  test('that fails, or holds something else, is a DownloadError', async () => {
    const page = new TextEncoder().encode('<html>');
    const server = await serve((request, response) => send(request, response, page));
    await expect(fetched(catalogue(), server.url)).rejects.toThrow(DownloadError);
    await expect(fetched(catalogue(), server.url)).rejects.toThrow('not an IDX file');
    await expect(fetched(catalogue(), 'http://thimble.invalid/')).rejects.toThrow(DownloadError);
    await expect(fetched(catalogue(), 'http://[')).rejects.toThrow(OptionError);
  });
});
