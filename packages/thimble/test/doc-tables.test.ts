// The tables in the pages are those of benchmarks/results.
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { withTables } from '../../../docs/.vitepress/measured.ts';

const docs = fileURLToPath(new URL('../../../docs/', import.meta.url));

test('`npm run docs:tables` would change nothing', async () => {
  const pages = (await readdir(docs, { recursive: true })).filter(
    (name) => name.endsWith('.md') && !/^(api|node_modules|public)\b/.test(name),
  );
  const stale: string[] = [];
  let tables = 0;
  for (const page of pages) {
    const text = await readFile(docs + page, 'utf8');
    tables += text.split('<div class="measured">').length - 1;
    if (withTables(text, page) !== text) stale.push(page);
  }
  expect(tables).toBeGreaterThan(20);
  expect(stale).toEqual([]);
});
