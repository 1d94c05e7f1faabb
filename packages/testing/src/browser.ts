// The browser that tests drive: Chromium at CHROMIUM_PATH, else where Debian installs it.
import { existsSync } from 'node:fs';
import type { Browser } from 'playwright-core';

const executablePath = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';

const args = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** True where there is no browser: tests are then to be skipped, and say {@link skipReason}. */
export const browserMissing: boolean = !existsSync(executablePath);

/** Belongs at the end of the name of a browser test. */
export const skipReason: string = browserMissing
  ? ` (skipped: no browser at ${executablePath}, set CHROMIUM_PATH)`
  : '';

export async function launchBrowser(): Promise<Browser> {
  const { chromium } = await import('playwright-core');
  return chromium.launch({ executablePath, args });
}
