// A new user's first minutes: the packed packages in an empty folder, the lines of the ten-minute start, and the
// other ways to use packages: CommonJS, a worker thread, Deno, Bun, a Vite build, TypeScript, the command.
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { gzipSync } from 'node:zlib';
import { chromium } from 'playwright-core';
import { build, preview } from 'vite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { packAll, packages, root } from '../pack.mjs';

const here = fileURLToPath(new URL('.', import.meta.url));
const start = await readFile(join(root, 'docs/guide/start.md'), 'utf8');
const call = promisify(execFile);
/** Engines besides Node, as npm has them, and the words that run a program. */
const ENGINES = { deno: ['run', '--allow-all', '--node-modules-dir=manual'], bun: ['run'] };
const executablePath = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';

/** The first block of a language under a heading of the ten-minute start. */
function block(heading, language) {
  const [, section = ''] = start.split(`\n## ${heading}\n`);
  const [, code] = section.split(`\n\`\`\`${language}\n`);
  if (code === undefined) throw new Error(`No ${language} under "${heading}" in start.md.`);
  return code.slice(0, code.indexOf('```'));
}

const lines = (code) => code.split('\n').filter((line) => line.trim() !== '');
const ten = block('Ten lines', 'ts');
const six = block('Six lines run it in a page', 'ts no-run');

let folder;
const installed = new Set();
const at = (...path) => join(folder, ...path);

/** Runs a program in the folder; its last line on standard output, as JSON. */
async function run(command, words) {
  const { stdout } = await call(command, words, { cwd: folder, maxBuffer: 1e8 });
  return JSON.parse(stdout.trim().split('\n').at(-1));
}

const install = (...names) =>
  call('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', ...names], {
    cwd: folder,
  });

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'thimble-fresh-'));
  await mkdir(at('tarballs'));
  packAll(at('tarballs'));
  await writeFile(at('package.json'), '{ "private": true, "type": "module" }');
  const [asked] = start.match(/^npm install .*$/m);
  const peers = asked.split(' ').filter((name) => name.startsWith('@tensorflow/'));
  await install(...packages.map(({ tarball }) => at('tarballs', tarball)), ...peers);
  for (const name of ['anywhere', 'check', 'commonjs', 'worker']) {
    await cp(join(here, name), at(name), { recursive: true });
  }
  // Their programs come as packages for this machine; where there is none, they are left out.
  await install('--no-save', ...Object.keys(ENGINES)).catch(() => {});
  for (const name of Object.keys(ENGINES)) {
    const works = call(at('node_modules/.bin', name), ['--version']);
    await works.then(
      () => installed.add(name),
      () => {},
    );
  }
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the ten-minute start', () => {
  let found;

  test('ten lines train on MNIST and write a file, which the runtime runs', async () => {
    expect(lines(ten).length).toBe(10);
    await writeFile(at('train.mjs'), ten);
    await call(process.execPath, ['train.mjs'], { cwd: folder, maxBuffer: 1e8 });
    found = await run(process.execPath, ['check/run.mjs', 'model.thimble']);
    expect(found.accuracy).toBeGreaterThan(0.93);
    expect(found.bytes).toBeLessThan((784 * 100 + 100 * 10 + 110) * 1.05);
  });

  test('six more lines run it in a page', async ({ skip, onTestFinished }) => {
    expect(lines(six).length).toBe(6);
    await mkdir(at('page/public'), { recursive: true });
    await writeFile(at('page/index.html'), block('Six lines run it in a page', 'html'));
    await writeFile(at('page/page.ts'), six);
    await cp(at('model.thimble'), at('page/public/model.thimble'));
    const vite = { root: at('page'), configFile: false, logLevel: 'error' };
    const { output } = await build(vite);
    const scripts = output.filter(({ type }) => type === 'chunk');
    // What the page downloads to run a network: neither TensorFlow.js nor what writes files.
    expect(gzipSync(scripts.map(({ code }) => code).join('')).length).toBeLessThan(60_000);
    if (!existsSync(executablePath)) skip(`no browser at ${executablePath}, set CHROMIUM_PATH`);

    const server = await preview({ ...vite, preview: { host: '127.0.0.1', port: 0 } });
    onTestFinished(() => server.close());
    const args = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-background-networking'];
    const browser = await chromium.launch({ executablePath, args });
    onTestFinished(() => browser.close());
    const page = await browser.newPage();
    const complaints = [];
    page.on('pageerror', (error) => complaints.push(String(error)));
    const { port } = server.httpServer.address();
    await page.goto(`http://127.0.0.1:${port}/`);
    await expect
      .poll(() => page.locator('output').textContent(), { timeout: 20_000 })
      .toBe(`It is a ${found.empty}.`); // of an empty canvas, as in Node
    expect(complaints).toEqual([]);
  });

  test('TypeScript knows the types of both, and of what is required', async () => {
    await writeFile(at('check/train.mts'), ten);
    await writeFile(at('check/page.mts'), six);
    const required = block('CommonJS, Deno, Bun, workers', 'js');
    expect(await readFile(at('commonjs/main.cjs'), 'utf8')).toContain(required);
    await writeFile(
      at('check/required.cts'),
      `import thimble = require('thimble');\nexport const layers: typeof thimble.layers = thimble.layers;\n// @ts-expect-error: there is no such name\nthimble.fitt;\n`,
    );
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const { stdout } = await call(process.execPath, [tsc, '-p', at('check')]).catch(
      (error) => error,
    );
    expect(stdout).toBe('');
  });
});

test('CommonJS requires the packages, trains, writes, loads and runs', async () => {
  const { losses, loaded, packed } = await run(process.execPath, ['commonjs/main.cjs']);
  expect(losses.at(-1)).toBeLessThan(losses[0]);
  expect(loaded).toBeLessThan(1e-5);
  expect(packed).toBeLessThan(1e-5);
});

test('a worker thread trains, the main thread runs what it made', async () => {
  const { apart } = await run(process.execPath, ['worker/main.mjs']);
  expect(apart).toBeLessThan(1e-5);
});

for (const [name, words] of Object.entries(ENGINES)) {
  test(`${name} trains, writes, loads and runs`, async ({ skip }) => {
    if (!installed.has(name)) skip(`npm could not install ${name} here`);
    const { losses, apart } = await run(at('node_modules/.bin', name), [
      ...words,
      'anywhere/main.mjs',
    ]);
    expect(losses.at(-1)).toBeLessThan(losses[0]);
    expect(apart).toBeLessThan(1e-5);
  });
}

describe('the command', () => {
  const command = () => at('node_modules/.bin/thimble');

  test('inspects the file', async () => {
    const { stdout } = await call(command(), ['inspect', 'model.thimble', '--json'], {
      cwd: folder,
    });
    const { size } = await stat(at('model.thimble'));
    expect(JSON.parse(stdout)).toMatchObject({ format: 'thimble', bytes: size });
  });

  test('serves the playground that came with it', async () => {
    const child = spawn(command(), ['serve', '--port', '0', '--json'], { cwd: folder });
    const ended = once(child, 'exit');
    const [said] = await once(child.stdout, 'data');
    const { address } = JSON.parse(said);
    const index = await (await fetch(address)).text();
    const [, script] = index.match(/<script type="module"[^>]* src="\.\/([^"]+)"/);
    for (const path of [script, 'networks/networks.json', 'networks/int8.thimble']) {
      const response = await fetch(address + path);
      expect(response.status, path).toBe(200);
      expect((await response.arrayBuffer()).byteLength).toBeGreaterThan(1000);
    }
    child.kill('SIGINT');
    expect(await ended).toEqual([0, null]);
  });
});
