// Joins the runtime and the packages that it needs in one file, dist/bundle.js, for programs in Node that start
// often: an engine spends more time on finding sixty small modules than on running them. Part of the build;
// leaves a file alone that is newer than what it is made of.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const bundle = join(root, 'dist', 'bundle.js');
const parts = ['base', 'graph', 'kernels', 'runtime'].map((name) => join(root, '..', name, 'dist'));

const changed = (file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
const newest = Math.max(
  changed(fileURLToPath(import.meta.url)),
  ...parts.flatMap((folder) =>
    readdirSync(folder, { recursive: true })
      .filter((name) => name.endsWith('.js') && join(folder, name) !== bundle)
      .map((name) => changed(join(folder, name))),
  ),
);
if (changed(bundle) < newest) {
  const { build } = await import('vite');
  await build({
    configFile: false,
    root,
    logLevel: 'warn',
    ssr: { noExternal: true },
    build: {
      ssr: 'dist/index.js',
      outDir: 'dist',
      emptyOutDir: false,
      target: 'node20',
      // An engine reads all of a file before it runs any: half the letters are a tenth of a cold start.
      minify: true,
      rollupOptions: {
        external: [/^node:/],
        output: { entryFileNames: 'bundle.js' },
      },
    },
  });
}
