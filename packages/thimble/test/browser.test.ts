// The whole of Thimble in a real browser, from a Vite production build. Where there is no Chromium the test is
// reported as skipped.
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { browserMissing, launchBrowser, skipReason } from '@thimble/testing';
import { build, type InlineConfig, preview } from 'vite';
import { expect, test } from 'vitest';
import type { Found } from './browser-page/main.ts';

test.skipIf(browserMissing)(`trains, distils and bakes in a page${skipReason}`, async () => {
  const outDir = mkdtempSync(join(tmpdir(), 'thimble-page-'));
  const config: InlineConfig = {
    root: fileURLToPath(new URL('./browser-page/', import.meta.url)),
    configFile: false,
    logLevel: 'error',
    resolve: { conditions: ['@thimble/source', 'module', 'browser', 'development|production'] },
    preview: { host: '127.0.0.1', port: 0 },
    build: { outDir, emptyOutDir: true, target: 'es2022' },
  };
  await build(config);
  const server = await preview(config);
  const browser = await launchBrowser();
  try {
    const page = await browser.newPage();
    const complaints: string[] = [];
    page.on('console', (message) => {
      if (['warning', 'error'].includes(message.type())) complaints.push(message.text());
    });
    page.on('pageerror', (error) => complaints.push(String(error)));
    const { port } = server.httpServer.address() as AddressInfo;
    await page.goto(`http://127.0.0.1:${port}/`);
    const found: Found = JSON.parse((await page.locator('#result').textContent()) as string);
    expect(found.error).toBeUndefined();
    expect(complaints).toEqual([]);
    expect(found.backend).toBe('thimble');
    expect(found.teacherAccuracy).toBeGreaterThan(0.6); // chance is 0.1
    expect(found.divergence!.at(-1)).toBeLessThan(0.5 * found.divergence![0]!);
    // 784*16 weights, half of them masked, biases 16, 16*10 weights, biases 10; 8 bits may round more to 0.
    expect(found.kept).toBeLessThanOrEqual(6272 + 16 + 160 + 10);
    expect(found.kept).toBeGreaterThan(5500);
    expect(found.plainDiffers).toBeLessThan(1e-5);
    expect(found.resumedEpochs).toBe(6);
  } finally {
    await browser.close();
    await server.close();
    rmSync(outDir, { recursive: true });
  }
});
