// Binary arithmetic coding: the decoding half, and what both halves share.
import { corrupt } from './reader.ts';

/**
 * Codes one bit after the other, each with the probability that it is 1. An encoder writes `bit`; a decoder
 * ignores it. Both give the bit, so that one model, written once, drives both.
 */
export interface BitCoder {
  /** @param one probability of a 1, in (0, 1) */
  bit(one: number, bit: number): number;
}

/** So many bytes more than there are may be asked for: the encoder leaves out zeros at the end. */
const SLACK = 4;

/**
 * Decodes with a range of 32 bits: `split = low + floor((high - low) * one)`; a 1 lies below and at it.
 * Bytes at the top that low and high share are shifted out (M. Mahoney's form of the range coder).
 */
export class ArithmeticDecoder implements BitCoder {
  readonly #bytes: Uint8Array;
  #at = 0;
  #low = 0;
  #high = 0xffffffff;
  #code = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    for (let i = 0; i < 4; i++) this.#code = ((this.#code << 8) | this.#next()) >>> 0;
  }

  bit(one: number): number {
    let [low, high] = [this.#low, this.#high];
    const split = low + Math.floor((high - low) * one);
    const bit = this.#code <= split ? 1 : 0;
    if (bit === 1) high = split;
    else low = split + 1;
    while (((low ^ high) & 0xff000000) === 0) {
      low = (low << 8) >>> 0;
      high = ((high << 8) | 255) >>> 0;
      this.#code = ((this.#code << 8) | this.#next()) >>> 0;
    }
    this.#low = low;
    this.#high = high;
    return bit;
  }

  #next(): number {
    const at = this.#at++;
    if (at < this.#bytes.length) return this.#bytes[at]!;
    if (at >= this.#bytes.length + SLACK) throw corrupt('an arithmetic code ends too early');
    return 0;
  }
}
