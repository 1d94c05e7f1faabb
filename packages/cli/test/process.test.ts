// The program in a process of its own: exit codes, interrupts, and going on after one.
import { spawn } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { save, withSeed } from 'thimble';
import { build } from 'vite';
import { afterAll, beforeAll, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));
// Inside the package, so that what is not bundled is found.
const built = join(root, '.thimble/process-test');
let folder: string;

beforeAll(async () => {
  await tf.setBackend('thimble');
  folder = await mkdtemp(join(tmpdir(), 'thimble-process-'));
  const model = withSeed(3, () =>
    tfl.sequential({
      layers: [
        tfl.layers.flatten({ inputShape: [28, 28, 1] }),
        tfl.layers.dense({ units: 32, activation: 'relu' }),
        tfl.layers.dense({ units: 10, activation: 'softmax' }),
      ],
    }),
  );
  await save(model, `file://${join(folder, 'model.thimble')}`);
  model.dispose();
  await build({
    configFile: false,
    logLevel: 'silent',
    ssr: {
      noExternal: [/^@thimble\//, 'thimble'],
      resolve: { conditions: ['@thimble/source', 'module', 'node', 'import', 'default'] },
    },
    build: {
      ssr: join(root, 'src/bin.ts'),
      outDir: join(built, 'dist'),
      minify: false,
      rollupOptions: { output: { entryFileNames: 'bin.mjs', chunkFileNames: '[name]-[hash].mjs' } },
    },
  });
  await mkdir(built, { recursive: true });
  await copyFile(join(root, 'package.json'), join(built, 'package.json'));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  await rm(built, { recursive: true, force: true });
});

/** Runs the program; `interrupt` looks at what it said so far and tells when to interrupt it. */
function run(
  words: string[],
  interrupt: (said: string) => boolean = () => false,
): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [join(built, 'dist/bin.mjs'), ...words], { cwd: folder });
  let [out, err, sent] = ['', '', false];
  child.stdout.on('data', (data) => {
    out += data;
  });
  child.stderr.on('data', (data) => {
    err += data;
    if (sent || !interrupt(err)) return;
    sent = true;
    child.kill('SIGINT');
  });
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, out, err })));
}

test('exit codes, and a version', async () => {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'));
  expect(await run(['--version'])).toEqual({ code: 0, out: `${version}\n`, err: '' });
  expect(await run(['inspect', 'model.thimble', '--json'])).toMatchObject({ code: 0, err: '' });
  expect((await run(['inspect', 'gone.thimble'])).code).toBe(1);
  expect((await run(['inspect'])).code).toBe(2);
});

test('a reader that stops reading ends it without a word', async () => {
  const bin = join(built, 'dist/bin.mjs');
  // `true` has closed the pipe before anything is written to it.
  const script = `"${process.execPath}" "${bin}" inspect model.thimble --json | true`;
  const child = spawn('bash', ['-o', 'pipefail', '-c', script], { cwd: folder });
  let err = '';
  child.stderr.on('data', (data) => {
    err += data;
  });
  const code = await new Promise((resolve) => child.on('close', resolve));
  expect({ code, err }).toEqual({ code: 0, err: '' });
});

test('an interrupt of what keeps nothing does not say that it goes on', async () => {
  const { code, err } = await run(['demo'], (said) => said.includes('Data:'));
  expect(code).toBe(130);
  expect(err).toMatch(/^Stopped\.$/m);
  await expect(stat(join(folder, 'demo.thimble'))).rejects.toThrow('ENOENT');
}, 60_000);

test('an interrupted compression keeps what is done, and goes on from there', async () => {
  const words = [
    ...['compress', 'model.thimble', '--data', 'digits', '--limit', '300'],
    ...['--prune', '0.5', '--cluster', '16', '--epochs', '8', '--output', 'a.thimble'],
  ];
  const first = await run(words, (said) => /^prune: /m.test(said));
  expect(first.err).toContain('the same command goes on from there');
  expect(first.code).toBe(130);
  await expect(stat(join(folder, 'a.thimble'))).rejects.toThrow('ENOENT');

  const second = await run(words);
  expect(second.code).toBe(0);
  expect(second.err).toContain('prune: kept from before');
  expect((await stat(join(folder, 'a.thimble'))).size).toBeGreaterThan(1000);
  await expect(stat(join(folder, 'a.thimble.work'))).rejects.toThrow('ENOENT');
}, 180_000);
