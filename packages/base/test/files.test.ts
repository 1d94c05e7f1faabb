import { spawnSync } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FileFormatError, readBytes, removeFile, writeBytes } from '@thimble/base';
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

test('says of a folder that it is one', async () => {
  const error = await readBytes(folder).catch((reason: unknown) => reason);
  expect(error).toBeInstanceOf(FileFormatError);
  expect((error as Error).message).toBe(
    `"${folder}" is a folder, where a file is needed. Give the name of a file in it.`,
  );
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

test('clears away what a killed process left half-written, and nothing else', async () => {
  const { pid } = spawnSync(process.execPath, ['--version']); // ended, so no process has this number
  const others = [`kept.bin.${process.ppid}.0.tmp`, `other.bin.${pid}.0.tmp`, 'kept.bin.notes'];
  for (const name of [`kept.bin.${pid}.3.tmp`, ...others]) await writeFile(join(folder, name), 'x');
  await writeBytes(join(folder, 'kept.bin'), Uint8Array.of(1));
  expect((await readdir(folder)).sort()).toEqual([...others, 'kept.bin'].sort());
});
