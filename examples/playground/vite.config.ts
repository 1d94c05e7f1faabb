// The playground from source: `npm run playground` serves it, `vite build` writes it to output/playground-page.
import { defineConfig, type UserConfigExport } from 'vite';

const config: UserConfigExport = defineConfig({
  base: './',
  resolve: { conditions: ['@thimble/source', 'module', 'browser', 'development|production'] },
  worker: { format: 'es' },
  build: { target: 'es2022', outDir: '../../output/playground-page', emptyOutDir: true },
});
export default config;
