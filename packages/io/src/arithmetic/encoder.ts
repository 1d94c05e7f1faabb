// Binary arithmetic coding, the writing half. The reading half is packages/kernels/assembly/decoding/bits.ts.
import { ByteWriter } from '../byte-writer.ts';

/** Takes one bit after the other, each with the probability that it is 1. */
export interface BitSink {
  /** @param one the probability of a 1 times 65536: a whole number from 1 to 65535 */
  bit(one: number, bit: number): void;
}

/**
 * Writes bits with a range of 32 bits: `split = low + floor((high - low) one / 65536)`; a 1 lies below and at it. Bytes
 * at the top that low and high share are shifted out (M. Mahoney's form of the range coder).
 */
export class ArithmeticEncoder implements BitSink {
  readonly #bytes = new ByteWriter();
  #low = 0;
  #high = 0xffffffff;

  bit(one: number, bit: number): void {
    const split = this.#low + Math.floor(((this.#high - this.#low) * one) / 65_536);
    if (bit === 1) this.#high = split;
    else this.#low = split + 1;
    while (((this.#low ^ this.#high) & 0xff000000) === 0) {
      this.#bytes.byte(this.#high >>> 24);
      this.#low = (this.#low << 8) >>> 0;
      this.#high = ((this.#high << 8) | 255) >>> 0;
    }
  }

  /** What was written. The decoder reads zeros beyond the end, so that one byte suffices to end with. */
  done(): Uint8Array<ArrayBuffer> {
    if (this.#low > 0) this.#bytes.byte((this.#low >>> 24) + 1);
    const bytes = this.#bytes.done();
    let length = bytes.length;
    while (length > 0 && bytes[length - 1] === 0) length--;
    return bytes.slice(0, length);
  }
}

/** Counts the bits that an {@link ArithmeticEncoder} would write. */
export class BitCounter implements BitSink {
  /** Bits so far. */
  bits = 0;

  bit(one: number, bit: number): void {
    this.bits -= Math.log2((bit === 1 ? one : 65_536 - one) / 65_536);
  }
}
