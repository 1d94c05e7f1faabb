// Bytes that are not trusted, read from front to back.
import { FileFormatError } from '@thimble/base';

/** The error for a file that cannot be what was written. */
export function corrupt(what: string): FileFormatError {
  return new FileFormatError(`The .thimble file is damaged: ${what}. Get a good copy of it.`);
}

const MOST_VARINT = 2 ** 40;

/** Reads little-endian numbers and runs of bytes; ends in a {@link FileFormatError} where there are no more. */
export class ByteReader {
  bytes: Uint8Array;
  at: number;

  constructor(bytes: Uint8Array, at: number = 0) {
    this.bytes = bytes;
    this.at = at;
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  byte(): number {
    if (this.left < 1) throw corrupt('it ends too early');
    return this.bytes[this.at++]!;
  }

  /** A whole number of 7 bits a byte, the lowest first; at most `most`. */
  varint(what: string, most: number = MOST_VARINT): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 127) * scale;
      if (value > most) throw corrupt(`${what} is above ${most}`);
      if (byte < 128) return value;
      if (scale > MOST_VARINT) throw corrupt(`${what} has no end`);
    }
  }

  /** A varint for numbers of both signs: 0, -1, 1, -2 ... */
  signed(what: string): number {
    const code = this.varint(what);
    return code % 2 === 0 ? code / 2 : -(code + 1) / 2;
  }

  /** Passes over the next bytes; returns where they begin. */
  skip(count: number, what: string): number {
    if (count > this.left) throw corrupt(`${what} is cut off`);
    this.at += count;
    return this.at - count;
  }

  /** Passes over bytes with their count in front. */
  section(what: string): { from: number; count: number } {
    const count = this.varint(what);
    return { from: this.skip(count, what), count };
  }

  /** `count` floats of 32 bits. */
  floats(count: number, what: string): Float32Array {
    const from = this.skip(count * 4, what);
    return floatsOf(this.bytes.subarray(from, this.at));
  }
}

const littleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

/** Little-endian floats of 32 bits, in memory of their own. */
function floatsOf(bytes: Uint8Array): Float32Array {
  const floats = new Float32Array(bytes.length / 4);
  const raw = new Uint8Array(floats.buffer);
  raw.set(bytes);
  if (!littleEndian) for (let i = 0; i < raw.length; i += 4) raw.subarray(i, i + 4).reverse();
  return floats;
}
