// xxHash32 of one 32-bit number, and the entries that HashedNets shares out by it.

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

/** What is added to the seed for the hash of the sign. */
const SIGN_SEED = 0x9e3779b1;

/**
 * For every entry i of a hashed weight its place in [v, -v], v being its K real weights:
 * `floor(K xxHash32(i, seed) / 2^32)`, and K more where the lowest bit of a second hash of i is set.
 */
export function hashedPlaces(entries: number, buckets: number, seed: number): Int32Array {
  const places = new Int32Array(entries);
  for (let i = 0; i < entries; i++) {
    const bucket = Math.floor((buckets * xxHash32(i, seed)) / 2 ** 32);
    places[i] = xxHash32(i, seed + SIGN_SEED) & 1 ? buckets + bucket : bucket;
  }
  return places;
}
