import { crc32 } from '@thimble/base';
import { expect, test } from 'vitest';
import { crc32ByTables } from '../src/checksum.ts';

test('crc32 is that of the standard check', () => {
  expect(crc32(new TextEncoder().encode('123456789'))).toBe(0xcbf43926);
});

// CRC-32 of 'a', 'ab' ... by Python's zlib.
test.each([
  ['', 0],
  ['a', 0xe8b7be43],
  ['ab', 0x9e83486d],
  ['abc', 0x352441c2],
  ['abcd', 0xed82cd11],
  ['abcde', 0x8587d865],
])('of "%s"', (text, expected) => {
  expect(crc32(new TextEncoder().encode(text))).toBe(expected);
  expect(crc32ByTables(new TextEncoder().encode(text))).toBe(expected);
});
