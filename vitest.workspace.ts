// The one definition of the test run: a project per package, plus the examples and benchmarks.
// Tests run on source (the `@thimble/source` export condition), so they need no build.
import { existsSync, readdirSync } from 'node:fs';
import { defineConfig } from 'vitest/config';

const conditions = ['@thimble/source', 'module', 'node', 'development|production'];
const packages = readdirSync(new URL('./packages', import.meta.url)).map((name) => ({
  name,
  root: `packages/${name}`,
  include: ['test/**/*.test.ts'],
}));
const others = ['examples', 'benchmarks']
  .filter((name) => existsSync(new URL(`./${name}`, import.meta.url)))
  .map((name) => ({ name, root: name, include: ['**/*.test.ts'] }));

export default defineConfig({
  ssr: { resolve: { conditions, externalConditions: conditions } },
  test: {
    maxWorkers: 2,
    allowOnly: false, // Biome's rule for it takes our `fit` for a focused test

    projects: [...packages, ...others].map((project) => ({
      extends: true as const,
      test: {
        ...project,
        exclude: ['**/dist/**', '**/node_modules/**'],
        testTimeout: 60_000,
        hookTimeout: 60_000,
        setupFiles: [new URL('./scripts/test-setup.ts', import.meta.url).pathname],
      },
    })),
  },
});
