// The playground in a real browser, from a production build: draw, switch, train, prune, load. Where there is no
// Chromium it is reported as skipped. THIMBLE_SCREENSHOTS=FOLDER keeps pictures to look at.
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { browserMissing, launchBrowser, skipReason } from '@thimble/testing';
import type { Browser, Page } from 'playwright-core';
import { build, type PreviewServer, preview } from 'vite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('.', import.meta.url));
const screenshots = process.env.THIMBLE_SCREENSHOTS;

let folder: string;
let server: PreviewServer;
let browser: Browser;
let address: string;

/** A page that is ready, and what it complained of. */
async function open(options: Parameters<Browser['newPage']>[0] = {}) {
  const page = await browser.newPage(options);
  const complaints: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.goto(address);
  await page.waitForSelector('body[data-ready]', { timeout: 30_000 });
  return { page, complaints };
}

async function picture(page: Page, name: string): Promise<void> {
  if (screenshots)
    await page.screenshot({ path: join(screenshots, `${name}.png`), fullPage: true });
}

/** The answers, row by row. */
const answers = (page: Page) => page.locator('#rows .answer').allTextContents();

async function drawOne(page: Page): Promise<void> {
  const box = (await page.locator('#pad').boundingBox())!;
  const x = box.x + box.width / 2;
  await page.mouse.move(x + 3, box.y + 0.2 * box.height);
  await page.mouse.down();
  await page.mouse.move(x, box.y + 0.5 * box.height, { steps: 5 });
  await page.mouse.move(x - 3, box.y + 0.8 * box.height, { steps: 5 });
  await page.mouse.up();
}

describe.skipIf(browserMissing)(`the playground${skipReason}`, () => {
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'thimble-playground-'));
    const config = { root, configFile: join(root, 'vite.config.ts'), logLevel: 'error' as const };
    const outDir = join(folder, 'page');
    await build({ ...config, build: { outDir, emptyOutDir: true } });
    server = await preview({
      ...config,
      build: { outDir },
      preview: { host: '127.0.0.1', port: 0 },
    });
    address = `http://127.0.0.1:${(server.httpServer.address() as AddressInfo).port}/`;
    browser = await launchBrowser();
  }, 180_000);
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    await rm(folder, { recursive: true });
  });

  test('every network reads a one, drawn by mouse; sliders switch widths and exits', async () => {
    const { page, complaints } = await open({ viewport: { width: 1280, height: 1100 } });
    await drawOne(page);
    await expect.poll(async () => (await answers(page)).every((text) => text !== '–')).toBe(true);
    const given = await answers(page);
    expect(given.length).toBeGreaterThanOrEqual(7);
    expect(given.filter((text) => text === '1').length).toBeGreaterThanOrEqual(given.length - 1);
    await picture(page, 'desktop');

    const slim = page.locator('#rows tr', { hasText: 'Slim' });
    const wide = await slim.locator('.number').first().textContent();
    await page.locator('#width').fill('0');
    expect(await slim.locator('.number').first().textContent()).not.toBe(wide);
    await expect(page.locator('#width-text').textContent()).resolves.toBe('25 %');
    await page.locator('#threshold').fill('2.3');
    await expect.poll(() => page.locator('#exit-text').textContent()).toMatch(/exit 1 of 3/);
    await page.locator('#threshold').fill('0');
    await expect.poll(() => page.locator('#exit-text').textContent()).toMatch(/at the end/);

    await page.locator('#clear').click();
    await expect.poll(async () => (await answers(page)).every((text) => text === '–')).toBe(true);
    await page.locator('#sample').click();
    await expect.poll(() => page.locator('#seen-text').textContent()).toMatch(/from the test set/);
    expect(complaints).toEqual([]);
    await page.close();
  }, 120_000);

  test('the keyboard draws too', async () => {
    const { page, complaints } = await open();
    await page.locator('#pad').focus();
    await page.keyboard.press('Space');
    for (let i = 0; i < 20; i++) await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Space');
    await expect.poll(async () => (await answers(page))[0]).toBe('1');
    await page.keyboard.press('Delete');
    await expect.poll(async () => (await answers(page))[0]).toBe('–');
    expect(complaints).toEqual([]);
    await page.close();
  }, 120_000);

  test.each(['thimble', 'webgl'])(
    'trains and prunes a network on %s',
    async (backend) => {
      const { page, complaints } = await open();
      await page.locator('#backend').selectOption(backend);
      await page.locator('#epochs').fill('1');
      await page.locator('#train').click();
      if (backend === 'webgl') {
        // Without a graphics card it is slow: some steps will do.
        await expect
          .poll(() => page.locator('#train-text').textContent(), { timeout: 120_000 })
          .toMatch(/step \d+ of/);
        await page.locator('#stop').click();
      }
      await expect
        .poll(() => page.locator('#train-text').textContent(), { timeout: 120_000 })
        .toMatch(new RegExp(`^Done on ${backend}`));
      const row = page.locator('#rows tr', { hasText: 'Yours' });
      const size = async () =>
        Number.parseFloat((await row.locator('.number').first().textContent())!);
      const dense = await size();
      if (backend === 'thimble') {
        const text = (await page.locator('#train-text').textContent())!;
        expect(Number(/([\d.]+) % error/.exec(text)![1])).toBeLessThan(30); // guessing gives 90
        await page.locator('#prune').click();
        await expect
          .poll(() => row.locator('button').textContent(), { timeout: 120_000 })
          .toBe('Yours, pruned');
        expect(await size()).toBeLessThan(dense / 3); // a tenth of the weights, and where they are
        await expect(page.locator('#download').isVisible()).resolves.toBe(true);
        await picture(page, 'trained');
      }
      expect(complaints).toEqual([]);
      await page.close();
    },
    300_000,
  );

  test('a stop while the digits are made ready leaves nothing behind', async () => {
    const { page, complaints } = await open();
    await page.locator('#epochs').fill('20');
    await page.locator('#train').click();
    await page.locator('#stop').click();
    await expect
      .poll(() => page.locator('#train-text').textContent(), { timeout: 60_000 })
      .toBe('Stopped before anything was learned.');
    await expect(page.locator('#prune').isDisabled()).resolves.toBe(true);
    expect(complaints).toEqual([]);
    await page.close();
  }, 120_000);

  test('a file of one’s own is loaded; another kind of file is refused in words', async () => {
    const { page, complaints } = await open();
    await page.locator('#files').setInputFiles(join(root, 'public/networks/pruned.thimble'));
    await expect.poll(() => page.locator('#own-text').textContent()).toMatch(/^Loaded/);
    await expect.poll(() => page.locator('#rows').textContent()).toMatch(/pruned\.thimble/);
    const manifest = [{ paths: ['weights.bin'], weights: [] }];
    const buffer = Buffer.from(JSON.stringify({ modelTopology: {}, weightsManifest: manifest }));
    const json = { name: 'model.json', mimeType: 'application/json', buffer };
    await page.locator('#files').setInputFiles([json]);
    await expect
      .poll(() => page.locator('#own-text').textContent(), { timeout: 30_000 })
      .toBe('model.json goes with weights.bin: choose all of them together.');
    await page.locator('#files').setInputFiles(join(root, 'index.html'));
    await expect.poll(() => page.locator('#own-text').textContent()).toMatch(/no model\.json/);
    expect(complaints).toEqual([]);
    await page.close();
  }, 120_000);

  test('fits a phone, light and dark', async () => {
    for (const colorScheme of ['light', 'dark'] as const) {
      const { page, complaints } = await open({
        viewport: { width: 375, height: 800 },
        colorScheme,
        hasTouch: true,
      });
      await page.locator('#sample').click();
      await expect.poll(async () => (await answers(page))[0]).not.toBe('–');
      const [wide, inner] = await page.evaluate(() => [
        document.documentElement.scrollWidth,
        innerWidth,
      ]);
      expect(wide).toBeLessThanOrEqual(inner!);
      // Bytes and milliseconds are beside the answer, not to be scrolled to.
      const table = (await page.locator('.answers .scroll').boundingBox())!;
      for (const column of ['file', 'time']) {
        const head = page.locator('thead th', { hasText: new RegExp(`^${column}$`) });
        const { x, width } = (await head.boundingBox())!;
        expect(x + width, column).toBeLessThanOrEqual(table.x + table.width);
      }
      for (const id of ['files', 'train', 'clear', 'backend']) {
        const { height } = (await page.locator(`#${id}`).boundingBox())!;
        expect(height, id).toBeGreaterThanOrEqual(24); // the least for a finger (WCAG 2.2, 2.5.8)
      }
      await expect(page.locator('#note').textContent()).resolves.toContain('trained here, on test');
      await picture(page, `phone-${colorScheme}`);
      expect(complaints).toEqual([]);
      await page.close();
    }
  }, 120_000);
});
