// Whether what links point to within pages is there: VitePress looks at pages alone. The API reference, which a program
// wrote, is left out.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

const site = fileURLToPath(new URL('.vitepress/dist', import.meta.url));
const pages = new Map(
  readdirSync(site, { recursive: true })
    .filter((path) => path.endsWith('.html'))
    .map((path) => {
      const text = readFileSync(join(site, path), 'utf8');
      return [
        path,
        { text, ids: new Set([...text.matchAll(/\bid="([^"]+)"/g)].map(([, id]) => id)) },
      ];
    }),
);

/** The page that an address leads to from another one. */
function pageOf(from, address) {
  if (address === '') return from;
  const path = address.startsWith('/') ? address.slice(1) : join(dirname(from), address);
  const name = normalize(path).replace(/\/$|^\.$/, '');
  return [name, `${name}.html`, join(name, 'index.html')].find((each) => pages.has(each));
}

const dead = [];
for (const [path, { text }] of pages) {
  if (path.startsWith('api')) continue;
  for (const [, address, anchor] of text.matchAll(/<a\b[^>]*?href="([^"#:]*)#([^"]+)"/g)) {
    const page = pageOf(path, address);
    const there = page !== undefined && pages.get(page).ids.has(decodeURIComponent(anchor));
    if (!there) dead.push(`${path}: ${address}#${anchor}`);
  }
}
if (dead.length > 0) {
  console.error(`Links to headings that are not there:\n  ${dead.join('\n  ')}`);
  process.exit(1);
}
