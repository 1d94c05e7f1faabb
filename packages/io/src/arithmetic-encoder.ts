// Binary arithmetic coding: the writing half of the runtime's ArithmeticDecoder.
import type { BitCoder } from '@thimble/runtime/file';
import { ByteWriter } from './byte-writer.ts';

/** Writes bits, each with the probability that it is 1. */
export class ArithmeticEncoder implements BitCoder {
  readonly #bytes = new ByteWriter();
  #low = 0;
  #high = 0xffffffff;

  bit(one: number, bit: number): number {
    const split = this.#low + Math.floor((this.#high - this.#low) * one);
    if (bit === 1) this.#high = split;
    else this.#low = split + 1;
    while (((this.#low ^ this.#high) & 0xff000000) === 0) {
      this.#bytes.byte(this.#high >>> 24);
      this.#low = (this.#low << 8) >>> 0;
      this.#high = ((this.#high << 8) | 255) >>> 0;
    }
    return bit;
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
export class BitCounter implements BitCoder {
  /** Bits so far. */
  bits = 0;

  bit(one: number, bit: number): number {
    this.bits -= Math.log2(bit === 1 ? one : 1 - one);
    return bit;
  }
}
