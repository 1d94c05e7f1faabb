import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Random } from '@thimble/base';
import { readCheckpoint } from '@thimble/core';
import { build } from 'vite';
import { afterAll, beforeAll, expect, it } from 'vitest';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'thimble-resume-'));
  // One self-contained script: a process starts in a fraction of a second and needs no build.
  await build({
    configFile: false,
    logLevel: 'silent',
    ssr: {
      noExternal: true,
      resolve: { conditions: ['@thimble/source', 'module', 'node', 'import', 'default'] },
    },
    build: {
      ssr: fileURLToPath(new URL('./child.ts', import.meta.url)),
      outDir: folder,
      minify: false,
      rollupOptions: { output: { entryFileNames: 'child.mjs' } },
    },
  });
});

afterAll(() => rm(folder, { recursive: true, force: true }));

/** Runs the child; kills it `after` milliseconds after its first step. Answers the steps it took. */
function run(name: string, after?: number): Promise<{ steps: number; killed: boolean }> {
  const child = spawn(process.execPath, [
    join(folder, 'child.mjs'),
    join(folder, `${name}.checkpoint`),
    join(folder, `${name}.json`),
  ]);
  let steps = 0;
  let errors = '';
  child.stderr.on('data', (data) => {
    errors += data;
  });
  child.stdout.on('data', (data: Buffer) => {
    if (steps === 0 && after !== undefined) setTimeout(() => child.kill('SIGKILL'), after);
    steps += data.length;
  });
  return new Promise((resolve, reject) => {
    child.on('exit', (code, signal) => {
      if (code === 0 || signal === 'SIGKILL') resolve({ steps, killed: signal === 'SIGKILL' });
      else reject(new Error(errors));
    });
  });
}

async function outcome(name: string) {
  const { seconds: _, ...checkpoint } = (await readCheckpoint(join(folder, `${name}.checkpoint`)))!;
  return { result: await readFile(join(folder, `${name}.json`), 'utf8'), checkpoint };
}

it('a run killed at random moments ends bit-identical to an unbroken one', async () => {
  const unbroken = await run('unbroken');
  const random = new Random('moments');
  let kills = 0;
  let steps = 0;
  for (let attempt = 0; attempt < 30; attempt++) {
    const last = kills >= 6;
    const { killed, ...taken } = await run('broken', last ? undefined : random.integer(120));
    steps += taken.steps;
    if (killed) kills++;
    else break;
  }
  expect(kills).toBeGreaterThanOrEqual(4);
  // Each kill costs what was not yet saved, never more than a few steps.
  expect(steps).toBeGreaterThanOrEqual(unbroken.steps);
  expect(steps).toBeLessThan(unbroken.steps + 5 * kills);
  expect(await outcome('broken')).toEqual(await outcome('unbroken'));
  // Called again, the finished run takes no step.
  expect(await run('broken')).toEqual({ steps: 0, killed: false });
  expect(await outcome('broken')).toEqual(await outcome('unbroken'));
});
