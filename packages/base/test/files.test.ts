import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readBytes, removeFile, writeBytes } from '@thimble/base';
import { afterEach, beforeEach, expect, test } from 'vitest';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'thimble-files-'));
});
afterEach(() => rm(folder, { recursive: true }));

test('writes, reads and removes, making folders on the way', async () => {
  const path = join(folder, 'a/b/c.bin');
  await writeBytes(path, Uint8Array.of(1, 2, 3));
  expect(await readBytes(path)).toEqual(Uint8Array.of(1, 2, 3));
  await removeFile(path);
  expect(await readBytes(path)).toBeUndefined();
  await removeFile(path);
});

test('leaves the old file and no scraps when writing fails', async () => {
  const path = join(folder, 'kept.bin');
  await writeBytes(path, Uint8Array.of(7));
  const impossible = { length: 3 } as unknown as Uint8Array;
  await expect(writeBytes(path, impossible)).rejects.toThrow();
  expect(await readBytes(path)).toEqual(Uint8Array.of(7));
  expect(await readdir(folder)).toEqual(['kept.bin']);
});

test('writes of one file at the same time leave one of them whole', async () => {
  const path = join(folder, 'shared.bin');
  const writes = Array.from({ length: 8 }, (_, i) => new Uint8Array(100_000 + i).fill(i));
  await Promise.all(writes.map((bytes) => writeBytes(path, bytes)));
  const kept = await readBytes(path);
  expect(kept).toEqual(writes[kept![0]!]);
  expect(await readdir(folder)).toEqual(['shared.bin']);
});
