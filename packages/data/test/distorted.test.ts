import { UnsupportedError } from '@thimble/base';
import { distorted, ImageDataset, mnist } from '@thimble/data';
import { expect, test } from 'vitest';

const quiet = { onProgress: false } as const;

test('gives the images of a distorted data set', async () => {
  const about = { source: 'synthetic', limit: 12, seed: 3, ...quiet } as const;
  const plain = (await mnist(about)).test;
  const before = Array.from(plain.image(4));
  const known = (await mnist({ ...about, distort: true })).test;
  const found = await distorted(plain, { seed: 3, ...quiet });
  for (let i = 0; i < 12; i++) expect(found.image(i)).toEqual(known.image(i));
  expect(found.labels).toEqual(plain.labels);
  expect(found.source).toBe(known.source);
  expect(Array.from(plain.image(4))).toEqual(before);
});

test('takes the images that are chosen, and refuses coloured ones', async () => {
  const { test: all } = await mnist({ source: 'synthetic', limit: 12, ...quiet });
  const still = { rotate: 0, scale: 0, shear: 0, shift: 0, elastic: 0, ...quiet };
  const chosen = all.filter((_, index) => index % 3 === 1);
  const same = await distorted(chosen, still);
  expect(Array.from(same.image(2))).toEqual(Array.from(all.image(7)));
  const coloured = new ImageDataset({
    pixels: new Uint8Array(12),
    labels: Uint8Array.of(0),
    imageShape: [2, 2, 3],
    classNames: ['a'],
    name: 'coloured',
    source: 'nowhere',
  });
  await expect(distorted(coloured, quiet)).rejects.toThrow(UnsupportedError);
});
