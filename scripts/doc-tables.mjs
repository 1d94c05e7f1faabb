// Writes the tables of benchmarks/results into the pages of docs.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runnerImport } from 'vite';

const docs = fileURLToPath(new URL('../docs/', import.meta.url));
const { module } = await runnerImport(`${docs}.vitepress/measured.ts`, { logLevel: 'error' });

const pages = readdirSync(docs, { recursive: true }).filter(
  (name) => name.endsWith('.md') && !/^(api|node_modules|public)\b/.test(name),
);
for (const page of pages) {
  const text = readFileSync(docs + page, 'utf8');
  const written = module.withTables(text, page.replaceAll('\\', '/'));
  if (written === text) continue;
  writeFileSync(docs + page, written);
  console.log(`docs/${page}`);
}
