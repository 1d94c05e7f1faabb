// Not part of `npm test`: it packs the packages and installs them. `npm run check:packages` runs it.
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    root: fileURLToPath(new URL('.', import.meta.url)),
    include: ['*.test.mjs'],
    testTimeout: 180_000,
    hookTimeout: 300_000,
  },
});
