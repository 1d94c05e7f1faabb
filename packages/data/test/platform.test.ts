import { existsSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { platform as browser } from '../src/platform.browser.ts';
import { platform as node } from '../src/platform.node.ts';
import type { Platform } from '../src/platform.ts';
import { gzip, temporaryFolder } from './helpers.ts';

const INFO = { url: 'http://a/', total: 5, etag: null, lastModified: null };
const bytes = Uint8Array.from([1, 2, 3, 4, 5]);

// The browser's side needs nothing that Node lacks, but for the Cache API: without it nothing is kept.
describe.each<[string, Platform]>([
  ['node', node],
  ['browser', browser],
])('platform %s', (_, platform) => {
  test('unpacks gzip and rejects what is damaged', async () => {
    expect([...(await platform.gunzip(gzip(bytes)))]).toEqual([1, 2, 3, 4, 5]);
    await expect(platform.gunzip(gzip(bytes).slice(0, -1))).rejects.toThrow();
    const changed = gzip(bytes);
    changed[12]! ^= 1;
    await expect(platform.gunzip(changed)).rejects.toThrow();
  });

  test('a part grows, starts again and is read', async () => {
    const part = await platform.openPart(`${temporaryFolder()}/a`);
    expect([part.length, part.info]).toEqual([0, undefined]);
    await part.restart(INFO);
    await part.append(bytes);
    expect([part.length, part.info]).toEqual([5, INFO]);
    await part.restart(INFO);
    await part.append(bytes.slice(0, 2));
    await part.append(bytes.slice(2, 3));
    expect([...(await part.read())]).toEqual([1, 2, 3]);
    await part.commit();
  });

  test('what was never kept is not there', async () => {
    const path = `${temporaryFolder()}/a`;
    expect(await platform.readKept(path)).toBeUndefined();
    await platform.removeKept(path);
  });
});

test('in Node, bytes of unknown origin are not continued', async () => {
  const path = `${temporaryFolder()}/a`;
  writeFileSync(`${path}.part`, bytes);
  for (const about of [undefined, 'half a fi', '{}']) {
    if (about) writeFileSync(`${path}.part.json`, about);
    const part = await node.openPart(path);
    expect([part.length, part.info]).toEqual([0, undefined]);
    await part.append(bytes);
    await part.keep();
  }
});

test('in Node, a lock that a crash left is taken over', async () => {
  const path = `${temporaryFolder()}/a`;
  // No process has the number 2^30: systems stop far below.
  for (const owner of ['', String(2 ** 30)]) {
    writeFileSync(`${path}.part.lock`, owner);
    const part = await node.openPart(path);
    await part.restart(INFO);
    await part.keep();
    expect(existsSync(`${path}.part`)).toBe(true);
    expect(existsSync(`${path}.part.lock`)).toBe(false);
  }
});

test('in Node, one download at a time has the file', async () => {
  const path = `${temporaryFolder()}/a`;
  const first = await node.openPart(path);
  await first.restart(INFO);
  await first.append(bytes);
  // The file is taken: the second one works in memory.
  const second = await node.openPart(path);
  expect([second.length, second.info]).toEqual([0, undefined]);
  await first.keep();
  const third = await node.openPart(path);
  expect([third.length, third.info]).toEqual([5, INFO]);
  await third.restart({ ...INFO, url: '' });
  await third.commit();
  expect([...(await node.readKept(path))!]).toEqual([]);
});
