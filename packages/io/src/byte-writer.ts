// Bytes written one after the other, little-endian.

/** A growing run of bytes. */
export class ByteWriter {
  #bytes = new Uint8Array(256);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  byte(value: number): void {
    this.#grow(1);
    this.#bytes[this.#length++] = value;
  }

  /** A whole number from 0 to 2^40, 7 bits a byte, the lowest first. */
  varint(value: number): void {
    let left = value;
    while (left >= 128) {
      this.byte((left % 128) + 128);
      left = Math.floor(left / 128);
    }
    this.byte(left);
  }

  /** A varint for whole numbers of both signs. */
  signed(value: number): void {
    this.varint(value < 0 ? -2 * value - 1 : 2 * value);
  }

  append(bytes: Uint8Array): void {
    this.#grow(bytes.length);
    this.#bytes.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** Bytes with their count in front. */
  section(bytes: Uint8Array): void {
    this.varint(bytes.length);
    this.append(bytes);
  }

  floats(values: Float32Array): void {
    const bytes = new Uint8Array(values.length * 4);
    const view = new DataView(bytes.buffer);
    for (let i = 0; i < values.length; i++) view.setFloat32(4 * i, values[i]!, true);
    this.append(bytes);
  }

  /** What was written. */
  done(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#length);
  }

  #grow(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(2 * this.#bytes.length, this.#length + count));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

/** Bits written one after the other, the first in the highest place of each byte. */
export class BitWriter {
  readonly #bytes = new ByteWriter();
  #bits = 0;
  #have = 0;

  /** The lowest `count` bits of a number, up to 32. */
  write(value: number, count: number): void {
    for (let left = count; left > 0; ) {
      const now = Math.min(left, 16);
      const part = Math.floor(value / 2 ** (left - now)) & ((1 << now) - 1);
      this.#bits = ((this.#bits & 255) << now) | part;
      this.#have += now;
      while (this.#have >= 8) {
        this.#have -= 8;
        this.#bytes.byte((this.#bits >>> this.#have) & 255);
      }
      left -= now;
    }
  }

  /** What was written, the last byte filled up with zeros. */
  done(): Uint8Array<ArrayBuffer> {
    if (this.#have > 0) this.#bytes.byte((this.#bits << (8 - this.#have)) & 255);
    this.#have = 0;
    return this.#bytes.done();
  }
}
