// Trains in a real browser, from Vite's dev server and from a production build. Needs a Chromium; where there
// is none the tests are reported as skipped.
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { AddressInfo, Server } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { browserMissing, launchBrowser, skipReason } from '@thimble/testing';
import type { Browser } from 'playwright-core';
import { build, createServer, type InlineConfig, preview } from 'vite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Outcome } from './browser-page/train.ts';

const root = fileURLToPath(new URL('./browser-page/', import.meta.url));
const wasmFolder = join(
  dirname(createRequire(import.meta.url).resolve('@tensorflow/tfjs-backend-wasm/package.json')),
  'dist',
);

interface Site {
  url: string;
  close(): Promise<unknown>;
}

interface Visit {
  outcomes: Record<string, Outcome>;
  /** What the page wrote to the console as a warning or an error. */
  complaints: string[];
  requests: string[];
}

let browser: Browser;
let scratch: string;

beforeAll(async () => {
  if (browserMissing) return;
  scratch = mkdtempSync(join(tmpdir(), 'thimble-browser-'));
  browser = await launchBrowser();
});

afterAll(async () => {
  if (browserMissing) return;
  await browser.close();
  rmSync(scratch, { recursive: true, force: true });
});

function config(name: string, more: InlineConfig = {}): InlineConfig {
  return {
    root,
    configFile: false,
    logLevel: 'error',
    cacheDir: join(scratch, name, 'cache'),
    resolve: { conditions: ['@thimble/source', 'module', 'browser', 'development|production'] },
    worker: { format: 'es' },
    server: { host: '127.0.0.1', port: 0 },
    preview: { host: '127.0.0.1', port: 0 },
    build: { outDir: join(scratch, name, 'site'), target: 'es2022' },
    ...more,
  };
}

async function dev(name: string, more?: InlineConfig): Promise<Site> {
  const server = await createServer(config(name, more));
  await server.listen();
  const { port } = (server.httpServer as Server).address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/`, close: () => server.close() };
}

async function production(name: string, more?: InlineConfig): Promise<Site> {
  await build(config(name, more));
  const server = await preview(config(name, more));
  const { port } = server.httpServer.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}/`, close: () => server.close() };
}

/** Opens a page, answers requests for /served/ with tfjs's own wasm files, and waits for the outcome. */
async function visit(url: string): Promise<Visit> {
  const page = await browser.newPage();
  const complaints: string[] = [];
  const requests: string[] = [];
  page.on('console', (message) => {
    if (['warning', 'error'].includes(message.type())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('request', (request) => requests.push(request.url()));
  await page.route('**/served/*.wasm', (route) =>
    route.fulfill({
      path: join(wasmFolder, new URL(route.request().url()).pathname.split('/').at(-1) as string),
      contentType: 'application/wasm',
    }),
  );
  try {
    await page.goto(url);
    const text = await page.locator('#result').textContent({ timeout: 50_000 });
    return { outcomes: JSON.parse(text as string), complaints, requests };
  } finally {
    await page.close();
  }
}

function expectTrained(outcome: Outcome | undefined): void {
  expect(outcome?.error).toBeUndefined();
  expect(outcome?.backend).toBe('thimble');
  const losses = outcome?.losses as number[];
  expect(losses.every(Number.isFinite)).toBe(true);
  expect(losses.at(-1)).toBeLessThan(0.2 * (losses[0] as number));
}

const sites: [string, () => Promise<Site>][] = [
  ['the dev server', () => dev('dev')],
  [
    'the dev server with the package in the dependency optimizer, as when installed from npm',
    () => dev('optimized', { optimizeDeps: { include: ['@thimble/backend'] } }),
  ],
  ['a production build', () => production('build')],
];

describe.skipIf(browserMissing).each(sites)(`%s${skipReason}`, (_, open) => {
  let site: Site;
  beforeAll(async () => {
    site = await open();
  });
  afterAll(() => site.close());

  test('trains on the page and in a worker, with no path set', async () => {
    const { outcomes, complaints, requests } = await visit(site.url);
    expectTrained(outcomes.page);
    expectTrained(outcomes.worker);
    expect(complaints).toEqual([]);
    const foreign = requests.filter(
      (url) => !url.startsWith(site.url) && !/^(data|blob):/.test(url),
    );
    expect(foreign).toEqual([]);
    expect(requests.filter((url) => url.endsWith('.wasm'))).toEqual([]);
  });

  test('loads the wasm file from where setWasmPaths says, and not its own bytes', async () => {
    const { outcomes, complaints, requests } = await visit(`${site.url}?worker=no&wasm=/served/`);
    expectTrained(outcomes.page);
    expect(complaints).toEqual([]);
    expect(requests).toContain(`${site.url}served/tfjs-backend-wasm-simd.wasm`);
    expect(requests.filter((url) => /tfjs-wasm[^/]*\.js/.test(url))).toEqual([]);
  });

  test('says what to do when there is no wasm file where setWasmPaths says', async () => {
    const { outcomes } = await visit(`${site.url}?worker=no&wasm=/missing/`);
    expect(outcomes.page?.error).toMatch(/^The backend "thimble" cannot start.*setWasmPaths/);
  });
});
