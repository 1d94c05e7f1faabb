// Serves a small page; the packed command serves the playground itself in scripts/fresh-projects.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { serve } from '../src/commands/serve.ts';
import { endingOf } from '../src/failure.ts';
import { main } from '../src/index.ts';

let folder: string;
let page: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'thimble-serve-'));
  page = join(folder, 'page');
  await writeFile(join(folder, 'secret'), 'outside');
  await mkdir(page);
  await writeFile(join(page, 'index.html'), '<h1>digits</h1>');
  await writeFile(join(page, 'net.thimble'), new Uint8Array([1, 2, 250]));
});
afterAll(() => rm(folder, { recursive: true }));

function contextOf() {
  const abort = new AbortController();
  const quiet = { say: () => {}, warn: () => {} };
  return { context: { progress: false as const, signal: abort.signal, ...quiet }, abort };
}

test('serves files of the page and nothing else, until it is interrupted', async () => {
  const { context, abort } = contextOf();
  const { text, json, after } = await serve({ port: 0 }, context, page);
  const { address } = json as { address: string };
  expect(address).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
  expect(text).toContain(address);

  const index = await fetch(address);
  expect(index.headers.get('content-type')).toMatch(/^text\/html/);
  expect(await index.text()).toBe('<h1>digits</h1>');
  const file = await fetch(`${address}net.thimble`);
  expect(new Uint8Array(await file.arrayBuffer())).toEqual(new Uint8Array([1, 2, 250]));
  for (const path of ['gone.js', '..%2fsecret', '%2e%2e/secret']) {
    expect((await fetch(address + path)).status, path).toBe(404);
  }

  abort.abort();
  await after;
  await expect(fetch(address)).rejects.toThrow('fetch failed');
});

test('a port in use is a sentence with the remedy', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const { port } = other.address() as AddressInfo;
  const error = await serve({ port }, contextOf().context, page).catch((reason) => reason);
  other.close();
  expect(endingOf(error)).toEqual({
    code: 1,
    message: `Port ${port} is in use by another program: choose another with --port, or --port 0 for any that is free.`,
  });
});

test('a page that is not built, and a port out of range, say what to do', async () => {
  await expect(serve({}, contextOf().context, folder)).rejects.toThrow('npm run build:playground');
  let said = '';
  const code = await main(['serve', '--port', '65536'], {
    out: () => {},
    err: (text) => {
      said += text;
    },
    signal: contextOf().context.signal,
  });
  expect(code).toBe(2);
  expect(said).toContain('from 0 to 65535');
});
