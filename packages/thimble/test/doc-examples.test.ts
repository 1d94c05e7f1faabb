// Runs every example of the documentation: the `@example` of each docstring in packages/*/src, and the
// TypeScript blocks of every README. A name that an example does not declare itself is taken from the
// file that it documents, its package, `thimble`, or doc-fixtures.ts.
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import '@thimble/backend';
import * as tf from '@tensorflow/tfjs-core';
import * as thimble from 'thimble';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { fixtures } from './doc-fixtures.ts';

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, '../../..');
const generated = join(here, '.doc-examples');

interface Example {
  /** "packages/core/src/fit.ts:57" */
  title: string;
  /** The source file that it documents; a README documents the package's index. */
  source: string | undefined;
  code: string;
}

const lineOf = (text: string, index: number) => text.slice(0, index).split('\n').length;

function examplesOf(file: string, text: string): Example[] {
  const place = relative(root, file);
  if (file.endsWith('.md')) {
    const source =
      file === join(root, 'README.md') ? undefined : join(dirname(file), 'src/index.ts');
    return [...text.matchAll(/```ts\n([\s\S]*?)```/g)].map((block) => ({
      title: `${place}:${lineOf(text, block.index)}`,
      source,
      code: block[1]!,
    }));
  }
  return [...text.matchAll(/@example\n((?: *\*(?!\/).*\n)+)/g)].map((block) => ({
    title: `${place}:${lineOf(text, block.index)}`,
    source: file,
    code: block[1]!.replace(/^ *\* ?/gm, '').replace(/^```\w*$/gm, ''),
  }));
}

async function collect(): Promise<Example[]> {
  const files = [join(root, 'README.md')];
  const rooms = await readdir(join(root, 'packages'));
  // What is in `testing` declares tests, so it cannot be called inside one.
  for (const room of rooms.filter((name) => name !== 'testing')) {
    files.push(join(root, 'packages', room, 'README.md'));
    const entries = await readdir(join(root, 'packages', room, 'src'), { recursive: true });
    const sources = entries.filter((name) => name.endsWith('.ts') && !name.endsWith('.d.ts'));
    files.push(...sources.map((name) => join(root, 'packages', room, 'src', name)));
  }
  const examples = [];
  for (const file of files.sort()) examples.push(...examplesOf(file, await readFile(file, 'utf8')));
  return examples;
}

/** The example as the body of a function over the names that it does not declare itself. */
function moduleOf({ code }: Example, known: string[]): string {
  const importLine = /^import [^;]*;.*$/gm;
  const imports = code.match(importLine)?.join('\n') ?? '';
  const body = code
    .replace(importLine, '')
    .replace(/\b(?:thimble\.)?(?:data\.)?(?:mnist|fashionMnist|kmnist|cifar10)\(/g, 'digits(');
  const used = known.filter(
    (name) =>
      new RegExp(`(?<![.\\w'])${name}\\b`).test(body) && !new RegExp(`\\b${name}\\b`).test(imports),
  );
  return `${imports}
export default async function example({ ${used.join(', ')} }: Record<string, any>) {
  {
${body}
  }
}
`;
}

const examples = await collect();
const home = process.cwd();
let folder: string;

beforeAll(async () => {
  await tf.setBackend('thimble');
  await mkdir(generated, { recursive: true });
  folder = await mkdtemp(join(tmpdir(), 'thimble-docs-'));
});
afterAll(async () => {
  process.chdir(home);
  await rm(folder, { recursive: true });
  await rm(generated, { recursive: true });
});

test('every public room has examples', () => {
  const rooms = new Set(examples.map(({ title }) => title.split('/').slice(0, 2).join('/')));
  for (const room of [
    'architecture',
    'base',
    'backend',
    'core',
    'data',
    'distillation',
    'pruning',
    'quantization',
  ]) {
    expect(rooms).toContain(`packages/${room}`);
  }
});

describe('examples run', () => {
  for (const [i, example] of examples.entries()) {
    test(example.title, async () => {
      const own = example.source ? await import(/* @vite-ignore */ example.source) : {};
      const index = example.source?.replace(/\/src\/.*/, '/src/index.ts');
      const room = index ? await import(/* @vite-ignore */ index) : {};
      const scope = { ...thimble, thimble, ...room, ...own, ...(await fixtures()) };
      const path = join(generated, `${i}.ts`);
      await writeFile(path, moduleOf(example, Object.keys(scope)));
      const { default: run } = await import(/* @vite-ignore */ path);
      const place = join(folder, String(i));
      await mkdir(place);
      process.chdir(place);
      await run(scope);
      vi.mocked(console.log).mockClear(); // printing is what some examples are about
    });
  }
});
