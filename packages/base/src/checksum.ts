// CRC-32, as zip, PNG and Ethernet have it.
import { nativeCrc32 } from '#platform';

/** How many tables: so many bytes at a time. */
const TABLES = 4;

let tables: Uint32Array[] | undefined;

function makeTables(): Uint32Array[] {
  const first = Uint32Array.from({ length: 256 }, (_, n) => {
    let c = n;
    for (let k = 0; k < 8; k++) c = c & 1 ? 0xedb88320 ^ (c >>> 1) : c >>> 1;
    return c;
  });
  const made = [first];
  for (let t = 1; t < TABLES; t++) {
    const before = made[t - 1]!;
    made.push(before.map((c) => first[c & 255]! ^ (c >>> 8)));
  }
  return made;
}

/**
 * CRC-32 (IEEE 802.3) of some bytes: a whole number in [0, 2^32).
 *
 * @example
 * crc32(new TextEncoder().encode('123456789')); // 0xcbf43926
 */
export function crc32(bytes: Uint8Array): number {
  return nativeCrc32?.(bytes) ?? crc32ByTables(bytes);
}

/** As {@link crc32}, for engines without. */
export function crc32ByTables(bytes: Uint8Array): number {
  tables ??= makeTables();
  const [t0, t1, t2, t3] = tables as [Uint32Array, Uint32Array, Uint32Array, Uint32Array];
  let crc = -1;
  let i = 0;
  for (; i + TABLES <= bytes.length; i += TABLES) {
    crc ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    crc = t3[crc & 255]! ^ t2[(crc >>> 8) & 255]! ^ t1[(crc >>> 16) & 255]! ^ t0[crc >>> 24]!;
  }
  for (; i < bytes.length; i++) crc = t0[(crc ^ bytes[i]!) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}
