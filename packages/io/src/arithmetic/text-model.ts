// Short texts in few bytes: every byte is predicted from those before it. The reading half is
// packages/kernels/assembly/decoding/text.ts.
import { MixedBits } from './bits.ts';
import type { BitSink } from './encoder.ts';

const ORDERS = 3;
/** Contexts of each order; the bytes before share them by hashing. */
const TABLE = 1 << 13;

/** Codes bytes, each from its highest bit on, in contexts of the last 0, 1 and 2 bytes. */
export function codeText(sink: BitSink, bytes: Uint8Array): void {
  const bits = new MixedBits(sink, ORDERS, ORDERS * TABLE, {
    memory: 64,
    learning: 13,
    weight: 29_491,
  });
  const { contexts } = bits;
  let last = 0;
  let before = 0;
  for (const byte of bytes) {
    const one = Math.imul(last + 1, 0x9e3779b1);
    const two = Math.imul(one ^ (before + 1), 0x85ebca6b);
    let partial = 1;
    for (let shift = 7; shift >= 0; shift--) {
      contexts[0] = partial;
      contexts[1] = TABLE + placeOf(one + partial);
      contexts[2] = 2 * TABLE + placeOf(two + partial);
      const bit = (byte >> shift) & 1;
      bits.bit(bit);
      partial = partial * 2 + bit;
    }
    before = last;
    last = byte;
  }
}

function placeOf(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d);
  return (mixed ^ (mixed >>> 12)) & (TABLE - 1);
}
