import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { DownloadError } from '@thimble/base';
import { describe, expect, test } from 'vitest';
import { type DownloadRequest, download } from '../src/download.ts';
import { type Handler, type SendOptions, send, serve, temporaryFolder } from './helpers.ts';

/** Bytes without pattern, so that wrongly joined parts show. */
function noise(length: number, seed: number = 1): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length);
  let state = seed;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    bytes[i] = state >>> 24;
  }
  return bytes;
}

const FILE = noise(200_000);
const patience = { contactTimeout: 10_000, stallTimeout: 600, attempts: 3, backoff: 1 };

function sum(bytes: Uint8Array): string {
  return createHash('sha1').update(bytes).digest('hex');
}

/** A request for FILE with everything that tests do not care about. */
function request(change: Partial<DownloadRequest>): DownloadRequest {
  return {
    title: 'a file',
    urls: [],
    path: `${temporaryFolder()}/set/a.gz`,
    keep: true,
    check: async (bytes) => (sum(bytes) === sum(FILE) ? undefined : 'wrong bytes'),
    patience,
    signal: undefined,
    onProgress: false,
    ...change,
  };
}

/** Everything in the folder of the request's file. */
function left({ path }: DownloadRequest): string[] {
  const folder = path.replace(/\/[^/]+$/, '');
  return existsSync(folder) ? readdirSync(folder).sort() : [];
}

/** Serves FILE, as each request in turn says; the last one goes on for all further requests. */
function behaving(...turns: SendOptions[]): Handler {
  return (incoming, response, index) =>
    send(incoming, response, FILE, turns[Math.min(index, turns.length - 1)]);
}

async function failure(download: Promise<unknown>): Promise<string> {
  const error = await download.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(DownloadError);
  return (error as Error).message;
}

describe('download', () => {
  test('brings the file under its name and leaves nothing else', async () => {
    const server = await serve(behaving({ etag: '"1"' }));
    const wanted = request({ urls: [`${server.url}a.gz`] });
    expect(sum(await download(wanted))).toBe(sum(FILE));
    expect(left(wanted)).toEqual(['a.gz']);
    expect(sum(readFileSync(wanted.path))).toBe(sum(FILE));
    expect(server.requests).toEqual(['/a.gz']);
  });

  test('leaves nothing at all where the file is not to be kept', async () => {
    const server = await serve(behaving({}));
    const wanted = request({ urls: [`${server.url}a.gz`], keep: false });
    expect(sum(await download(wanted))).toBe(sum(FILE));
    expect(left(wanted)).toEqual([]);
  });

  test.each([
    ['a strong ETag', { etag: '"1"' }],
    ['a weak ETag', { etag: 'W/"1"' }],
    ['a date', { lastModified: 'Mon, 01 Jan 2024 00:00:00 GMT' }],
    ['a length alone', {}],
  ])('asks for the rest after a broken connection, with %s', async (_, validator) => {
    const server = await serve(behaving({ ...validator, breakAfter: 70_000 }, validator));
    const wanted = request({ urls: [`${server.url}a.gz`] });
    expect(sum(await download(wanted))).toBe(sum(FILE));
    expect(server.requests).toEqual(['/a.gz', '/a.gz bytes=70000-']);
    expect(left(wanted)).toEqual(['a.gz']);
  });

  test('goes on with what an earlier run left', async () => {
    let up = false;
    const server = await serve((incoming, response) => {
      if (up) send(incoming, response, FILE, { etag: '"1"' });
      else if (incoming.headers.range) response.writeHead(503).end();
      else send(incoming, response, FILE, { etag: '"1"', breakAfter: 50_000 });
    });
    const wanted = request({ urls: [`${server.url}a.gz`] });
    expect(await failure(download(wanted))).toContain('status 503');
    expect(left(wanted)).toEqual(['a.gz.part', 'a.gz.part.json']);
    expect(sum(readFileSync(`${wanted.path}.part`))).toBe(sum(FILE.subarray(0, 50_000)));
    up = true;
    server.requests.length = 0;
    expect(sum(await download(wanted))).toBe(sum(FILE));
    expect(server.requests).toEqual(['/a.gz bytes=50000-']);
    expect(left(wanted)).toEqual(['a.gz']);
  });

  test('goes on as long as every try brings something', async () => {
    const server = await serve(behaving({ etag: '"1"', breakAfter: 20_000 }));
    const wanted = request({ urls: [`${server.url}a.gz`] });
    expect(sum(await download(wanted))).toBe(sum(FILE));
    // 200,000 bytes, 20,000 at a time, or fewer where a broken connection loses what was on its way.
    expect(server.requests.length).toBeGreaterThanOrEqual(10);
  });

  test('starts again where the server ignores Range', async () => {
    const server = await serve(
      behaving({ etag: '"1"', breakAfter: 70_000 }, { etag: '"1"', ignoreRange: true }),
    );
    const wanted = request({ urls: [`${server.url}a.gz`] });
    expect(sum(await download(wanted))).toBe(sum(FILE));
    expect(server.requests[1]).toBe('/a.gz bytes=70000-');
  });

  // The last column: If-Range makes the server send the new file at once; a weak ETag may not stand in
  // If-Range, and where there is none, only the answer shows that it must start again.
  test.each([
    ['another ETag', { etag: '"1"' }, { etag: '"2"' }, 200_000, 2],
    ['another weak ETag', { etag: 'W/"1"' }, { etag: 'W/"2"' }, 200_000, 3],
    ['a shorter file', {}, {}, 300_000, 3],
    ['a longer file', {}, {}, 150_000, 3],
  ])('does not join two versions of a file: %s', async (_, before, after, length, requests) => {
    const old = noise(length, 9);
    const server = await serve((incoming, response, index) => {
      if (index === 0) send(incoming, response, old, { ...before, breakAfter: 70_000 });
      else send(incoming, response, FILE, after);
    });
    // Nothing is checked: a joined file would pass.
    const wanted = request({ urls: [`${server.url}a.gz`], check: async () => undefined });
    expect(sum(await download(wanted))).toBe(sum(FILE));
    expect(server.requests[1]).toBe('/a.gz bytes=70000-');
    expect(server.requests).toHaveLength(requests);
  });

  test('does not continue the part of one address at another', async () => {
    const first = await serve((incoming, response, index) => {
      if (index === 0) send(incoming, response, noise(200_000, 9), { breakAfter: 70_000 });
      else response.writeHead(404).end();
    });
    const second = await serve(behaving({}));
    const wanted = request({ urls: [`${first.url}a.gz`, `${second.url}a.gz`] });
    expect(sum(await download(wanted))).toBe(sum(FILE));
    expect(second.requests).toEqual(['/a.gz']);
  });

  test('recovers from a joined file that fails its check', async () => {
    // The same length and no validator: only the bytes show that the file has changed.
    const server = await serve((incoming, response, index) => {
      if (index === 0) send(incoming, response, noise(200_000, 9), { breakAfter: 70_000 });
      else send(incoming, response, FILE);
    });
    const wanted = request({ urls: [`${server.url}a.gz`] });
    expect(sum(await download(wanted))).toBe(sum(FILE));
    expect(server.requests).toEqual(['/a.gz', '/a.gz bytes=70000-', '/a.gz']);
  });

  test('starts again when the range is beyond the file', async () => {
    const server = await serve((incoming, response, index) => {
      if (index === 0) send(incoming, response, noise(300_000, 9), { breakAfter: 250_000 });
      else send(incoming, response, FILE);
    });
    const wanted = request({ urls: [`${server.url}a.gz`] });
    expect(sum(await download(wanted))).toBe(sum(FILE));
    expect(server.requests).toEqual(['/a.gz', '/a.gz bytes=250000-', '/a.gz']);
  });

  test('tries again after a stall, and goes on where it stalled', async () => {
    const server = await serve(behaving({ etag: '"1"', stallAfter: 70_000 }, { etag: '"1"' }));
    const wanted = request({ urls: [`${server.url}a.gz`] });
    expect(sum(await download(wanted))).toBe(sum(FILE));
    expect(server.requests).toEqual(['/a.gz', '/a.gz bytes=70000-']);
  });

  test('gives up on a server that takes the connection and never answers', async () => {
    const silent = await serve(() => {});
    const good = await serve(behaving({}));
    const unreachable = new Set<string>();
    const urls = [`${silent.url}a.gz`, `${good.url}a.gz`];
    const wanted = request({ urls, unreachable, patience: { ...patience, contactTimeout: 1500 } });
    expect(sum(await download(wanted))).toBe(sum(FILE));
    expect(silent.requests).toHaveLength(1);
    expect([...unreachable]).toEqual([silent.url.slice(0, -1)]);
    // The next file does not wait for it.
    await download({ ...wanted, path: `${wanted.path}2` });
    expect(silent.requests).toHaveLength(1);
  });

  test('tries again after 500, and goes on to the next address after 404', async () => {
    const shaky = await serve((incoming, response, index) => {
      if (index < 2) response.writeHead(500).end('oops');
      else send(incoming, response, FILE);
    });
    expect(sum(await download(request({ urls: [`${shaky.url}a.gz`] })))).toBe(sum(FILE));
    expect(shaky.requests).toHaveLength(3);
    const empty = await serve((_, response) => response.writeHead(404).end());
    const urls = [`${empty.url}a.gz`, `${shaky.url}a.gz`];
    expect(sum(await download(request({ urls })))).toBe(sum(FILE));
    expect(empty.requests).toHaveLength(1);
  });

  test('says what every address answered', async () => {
    const broken = await serve((_, response) => response.writeHead(500).end());
    const gone = await serve((_, response) => response.writeHead(404).end());
    const none = 'http://127.0.0.1:9/a.gz';
    const wanted = request({ urls: [`${broken.url}a.gz`, `${gone.url}a.gz`, none] });
    const message = await failure(download(wanted));
    expect(message).toContain('Could not download a file.');
    expect(message).toContain(`${broken.url}a.gz: status 500`);
    expect(message).toContain(`${gone.url}a.gz: status 404`);
    expect(message).toMatch(/127\.0\.0\.1:9\/a\.gz: \S+/);
    expect(broken.requests).toHaveLength(3);
    expect(left(wanted)).toEqual([]);
  });

  test('never gives wrong, truncated or overlong bytes the final name', async () => {
    const page = new TextEncoder().encode('<html>Please log in</html>');
    const wrong = await serve((incoming, response) => send(incoming, response, page));
    const short = await serve((incoming, response) =>
      send(incoming, response, FILE.subarray(0, 100_000), { chunked: true }),
    );
    const long = await serve((incoming, response) =>
      send(incoming, response, noise(300_000), { chunked: true }),
    );
    for (const server of [wrong, short, long]) {
      const wanted = request({ urls: [`${server.url}a.gz`], size: FILE.length });
      const message = await failure(download(wanted));
      expect(message).toMatch(server === long ? /200000 were expected/ : /wrong bytes/);
      expect(left(wanted)).toEqual([]);
    }
    // Once more, in case they were two versions of a file, and no more.
    expect(wrong.requests).toHaveLength(2);
  });

  test('an aborted download rejects with the reason and can be continued', async () => {
    const server = await serve(behaving({ etag: '"1"', stallAfter: 70_000 }, { etag: '"1"' }));
    const controller = new AbortController();
    const reason = new Error('enough');
    const wanted = request({
      urls: [`${server.url}a.gz`],
      signal: controller.signal,
      onProgress: () => controller.abort(reason),
      patience: { ...patience, stallTimeout: 5000 },
    });
    await expect(download(wanted)).rejects.toBe(reason);
    expect(left(wanted)).toEqual(['a.gz.part', 'a.gz.part.json']);
    const again = { ...wanted, signal: undefined, onProgress: false };
    expect(sum(await download(again))).toBe(sum(FILE));
    expect(server.requests[1]).toMatch(/^\/a\.gz bytes=\d+-$/);
  });

  test('a signal that has aborted before, or while waiting to try again, stops it', async () => {
    const server = await serve((_, response) => response.writeHead(500).end());
    const aborted = request({ urls: [`${server.url}a.gz`], signal: AbortSignal.abort('no') });
    await expect(download(aborted)).rejects.toBe('no');
    expect(server.requests).toEqual([]);
    const started = performance.now();
    const waiting = request({
      urls: [`${server.url}a.gz`],
      signal: AbortSignal.timeout(100),
      patience: { ...patience, backoff: 60_000 },
    });
    await expect(download(waiting)).rejects.toThrow(/timeout/);
    expect(performance.now() - started).toBeLessThan(5000);
  });

  test('two downloads of one file at the same time do not disturb each other', async () => {
    const server = await serve(behaving({ etag: '"1"', breakAfter: 60_000 }));
    const wanted = request({ urls: [`${server.url}a.gz`] });
    const both = await Promise.all([download(wanted), download(wanted)]);
    expect(both.map(sum)).toEqual([sum(FILE), sum(FILE)]);
    expect(left(wanted)).toEqual(['a.gz']);
  });

  test('where nothing can be written it downloads into memory', async () => {
    const server = await serve(behaving({ etag: '"1"', breakAfter: 90_000 }));
    // A folder below a file cannot be made.
    const path = `${import.meta.filename}/set/a.gz`;
    expect(sum(await download(request({ urls: [`${server.url}a.gz`], path })))).toBe(sum(FILE));
    expect(server.requests[1]).toBe('/a.gz bytes=90000-');
  });

  test('reports kilobytes as they come', async () => {
    const server = await serve(behaving({}));
    const events: { task: string; done: number; total: number }[] = [];
    const onProgress = (event: { task: string; done: number; total: number }): void => {
      events.push(event);
    };
    await download(request({ urls: [`${server.url}a.gz`], onProgress }));
    expect(events.at(-1)).toMatchObject({ task: 'downloading a file, kB', done: 200, total: 200 });
    expect(events.every((event, i) => event.done >= (events[i - 1]?.done ?? 0))).toBe(true);
  });
});
