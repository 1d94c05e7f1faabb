// Files that are not to be trusted. `npm run fuzz -- --only files` runs it for longer.
import { FileFormatError, Random, UnsupportedError } from '@thimble/base';
import { decode } from '@thimble/runtime';
import { decodeBytes } from '@thimble/runtime/file';
import { expect, it } from 'vitest';
import { mutated, seeds } from './mutations.ts';

const RUNS = Number(process.env.THIMBLE_FUZZ_FILES ?? 600);
const SEED = Number(process.env.THIMBLE_FUZZ_SEED ?? 1);
const MOST_MEMORY = 256 * 2 ** 20;
/** A file of some hundred bytes may hold 2^20 values: those and their codes take this. */
const MOST_MS = 2000;

it('mutated files are read or refused by name, in bounded time and memory', () => {
  const files = seeds();
  const random = new Random(SEED, 'files');
  let [read, slowest] = [0, 0];
  for (let run = 0; run < RUNS; run++) {
    const bytes = mutated(files, random);
    const begun = performance.now();
    try {
      decodeBytes(bytes);
      read++;
    } catch (error) {
      if (!(error instanceof FileFormatError || error instanceof UnsupportedError)) {
        throw new Error(`run ${run} of seed ${SEED}: ${error}`, { cause: error });
      }
    }
    slowest = Math.max(slowest, performance.now() - begun);
  }
  expect(read).toBeLessThan(RUNS);
  expect(read).toBeGreaterThan(0);
  if (RUNS > 10_000) expect(slowest).toBeLessThan(MOST_MS);
}, 3_600_000);

it('takes no more memory than it should', () => {
  const files = seeds();
  const random = new Random(SEED, 'memory');
  for (let run = 0; run < 200; run++) {
    const bytes = mutated(files, random);
    const before = process.memoryUsage().arrayBuffers;
    try {
      decodeBytes(bytes);
    } catch {
      // Refused: what it took until then counts as well.
    }
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(MOST_MEMORY);
  }
});

it('every file that is cut off is refused', async () => {
  const [file] = seeds();
  for (let length = 0; length < file!.length; length++) {
    await expect(decode(file!.subarray(0, length))).rejects.toThrow(FileFormatError);
  }
});

it('every file with one bit changed is refused', () => {
  const [file] = seeds();
  for (let bit = 0; bit < 8 * file!.length; bit += 7) {
    const bytes = file!.slice();
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    expect(() => decodeBytes(bytes)).toThrow(/\.thimble file/);
  }
});
