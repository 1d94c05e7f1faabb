// Runs every example of the documentation: the `@example` of each docstring in packages/*/src, and the
// TypeScript blocks of every README and of the pages in docs. A name that an example does not declare itself is taken from the
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

/** Blocks of pages that are marked `ts no-run`, and why they cannot run here. */
const NO_RUN: Record<string, string> = {
  'docs/guide/start.md': 'a page: it needs a document and a server for the file',
};

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
    const source = place.startsWith('packages') ? join(dirname(file), 'src/index.ts') : undefined;
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

/** The pages of the site that are written by hand. */
async function pages(): Promise<string[]> {
  const folders = ['', 'guide', 'techniques', 'zh'].map((name) => join(root, 'docs', name));
  const found: string[] = [];
  for (const folder of folders) {
    const deep = folder.endsWith('techniques');
    const names = await readdir(folder, { recursive: deep });
    found.push(...names.filter((name) => name.endsWith('.md')).map((name) => join(folder, name)));
  }
  return found;
}

async function collect(): Promise<Example[]> {
  const files = [join(root, 'README.md'), ...(await pages())];
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

test('every block of a page runs, or is listed with the reason why not', async () => {
  const marked = new Set<string>();
  for (const file of await pages()) {
    const text = await readFile(file, 'utf8');
    for (const [, mark] of text.matchAll(/^```(?:ts|js|typescript|javascript)\b(.*)$/gm)) {
      if (mark !== '') marked.add(relative(root, file));
    }
    if (!(relative(root, file) in NO_RUN))
      expect(text).not.toMatch(/^```(js|typescript|javascript)/m);
  }
  expect([...marked].sort()).toEqual(Object.keys(NO_RUN).sort());
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
