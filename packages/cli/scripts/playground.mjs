// Builds the playground into this package, for `thimble serve`. Called when the package is packed.
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));

await build({
  root: here('../../../examples/playground'),
  configFile: here('../../../examples/playground/vite.config.ts'),
  logLevel: 'error',
  build: { outDir: here('../playground'), emptyOutDir: true },
});
