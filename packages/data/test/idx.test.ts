import { FileFormatError } from '@thimble/base';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseIdx } from '../src/index.ts';
import { encodeIdx, gzip } from './helpers.ts';

const small = encodeIdx([2, 3], [1, 2, 3, 4, 5, 6]);

async function messageOf(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const error = await parseIdx(bytes, 'some-file').then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(FileFormatError);
  return (error as Error).message;
}

describe('parseIdx', () => {
  test('reads a hand-written file', async () => {
    // biome-ignore format: header, dimension, values
    const bytes = Uint8Array.from([0, 0, 8, 1,  0, 0, 0, 3,  7, 8, 255]);
    expect(await parseIdx(bytes, 'x')).toEqual({ shape: [3], data: Uint8Array.from([7, 8, 255]) });
  });

  test('gives back any array, gzipped or not', async () => {
    const array = fc
      .array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 4 })
      .chain((shape) => {
        const length = shape.reduce((product, n) => product * n, 1);
        return fc.record({
          shape: fc.constant(shape),
          data: fc.uint8Array({ minLength: length, maxLength: length }),
          zip: fc.boolean(),
        });
      });
    await fc.assert(
      fc.asyncProperty(array, async ({ shape, data, zip }) => {
        const bytes = encodeIdx(shape, data);
        const parsed = await parseIdx(zip ? gzip(bytes) : bytes, 'made');
        expect(parsed.shape).toEqual(shape);
        expect([...parsed.data]).toEqual([...data]);
      }),
      { seed: 1, numRuns: 60 },
    );
  });

  test('rejects every proper beginning of a file, gzipped or not', async () => {
    const zipped = gzip(small);
    for (let n = 0; n < small.length; n++) await messageOf(small.slice(0, n));
    for (let n = 0; n < zipped.length; n++) await messageOf(zipped.slice(0, n));
  });

  test('rejects a file with any byte of its gzip data changed, or reads the same values', async () => {
    // Bytes 4 to 9 of a gzip header are a time, flags and a system: they mean nothing here.
    const zipped = gzip(small);
    for (let i = 10; i < zipped.length; i++) {
      const changed = zipped.slice();
      changed[i]! ^= 0x10;
      await messageOf(changed);
    }
  });

  test('says what was expected and what was found', async () => {
    expect(await messageOf(small.slice(0, 15))).toBe(
      'some-file: truncated. Expected 18 bytes for the shape [2, 3], found 15.',
    );
    expect(await messageOf(Uint8Array.from([...small, 0]))).toBe(
      'some-file: too long. Expected 18 bytes for the shape [2, 3], found 19.',
    );
    expect(await messageOf(new TextEncoder().encode('<html>'))).toBe(
      'some-file: not an IDX file. Expected it to begin with 00 00 08, found 3c 68 74 6d.',
    );
    expect(await messageOf(encodeIdx([1], [0, 0, 0, 0], 0x0d))).toBe(
      'some-file: an IDX file of type 0x0d. Expected 0x08, unsigned bytes.',
    );
    expect(await messageOf(small.slice(0, 10))).toMatch('expected an IDX header of 12 bytes');
    expect(await messageOf(new Uint8Array())).toMatch('found nothing');
    expect(await messageOf(gzip(small).slice(0, 20))).toMatch(/damaged gzip data.*20 bytes/);
    expect(await messageOf(Uint8Array.from([...gzip(small), 1, 2]))).toMatch(
      'incorrect header check',
    );
  });
});
