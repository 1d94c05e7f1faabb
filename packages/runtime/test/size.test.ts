import { gzipSync } from 'node:zlib';
import { build, type Rollup } from 'vite';
import { expect, test } from 'vitest';

test('what a page downloads is under 60 KB gzip, without the kernels of training and without tfjs', async () => {
  const result = (await build({
    configFile: false,
    logLevel: 'silent',
    resolve: { conditions: ['@thimble/source', 'module', 'browser', 'production'] },
    build: {
      write: false,
      lib: { entry: new URL('../src/index.ts', import.meta.url).pathname, formats: ['es'] },
    },
  })) as Rollup.RollupOutput[];
  const [{ output }] = result as [Rollup.RollupOutput];
  const code = output.map((file) => ('code' in file ? file.code : '')).join('\n');
  expect(gzipSync(code, { level: 9 }).length).toBeLessThan(60 * 1024);
  expect(code).not.toContain('tensorflow');
  const bytes = [...code.matchAll(/["'`](AGFzbQ[\w+/=]+)["'`]/g)].map(([, text]) =>
    Buffer.from(text!, 'base64'),
  );
  expect(bytes).toHaveLength(2); // decoding and inference
  const names = bytes.flatMap((module) =>
    WebAssembly.Module.exports(new WebAssembly.Module(module)).map(({ name }) => name),
  );
  expect(names).toContain('convPairs');
  expect(names).not.toContain('adam');
});
