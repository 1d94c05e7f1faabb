// xxHash32 of one 32-bit number.

const PRIME2 = 0x85ebca77;
const PRIME3 = 0xc2b2ae3d;
const PRIME4 = 0x27d4eb2f;
const PRIME5 = 0x165667b1;

/**
 * xxHash32 of the four bytes of a whole number in [0, 2^32), lowest first: whole, in [0, 2^32) (Y. Collet,
 * "xxHash fast digest algorithm").
 */
export function xxHash32(value: number, seed: number): number {
  let hash = (seed + PRIME5 + 4 + Math.imul(value, PRIME3)) | 0;
  hash = Math.imul((hash << 17) | (hash >>> 15), PRIME4);
  hash = Math.imul(hash ^ (hash >>> 15), PRIME2);
  hash = Math.imul(hash ^ (hash >>> 13), PRIME3);
  return (hash ^ (hash >>> 16)) >>> 0;
}
