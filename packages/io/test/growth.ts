// What is done over and over must leave nothing behind.
import { expect } from 'vitest';

/** Asserts that `cycle`, done a few times and then `times` times more, takes no memory; runs `settled` in between. */
export async function expectNoGrowth(
  cycle: (i: number) => Promise<unknown>,
  times: number,
  settled: () => void = () => {},
): Promise<void> {
  for (let i = 0; i < 50; i++) await cycle(i);
  globalThis.gc?.();
  settled();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  for (let i = 0; i < times; i++) await cycle(i);
  globalThis.gc?.();
  const now = process.memoryUsage();
  expect(now.arrayBuffers - arrayBuffers).toBeLessThan(32 * 2 ** 20);
  // The heap grows by what is collected later; not by a kilobyte a load.
  expect(now.heapUsed - heapUsed).toBeLessThan(64 * 2 ** 20);
}
