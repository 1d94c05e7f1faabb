/**
 * Floats as the whole numbers that their bits are: an engine that has just started, and still interprets, makes an
 * object of every float that it reads. All bits but the sign are 0 in a 0: `bits << 1 === 0`.
 */
export function rawBits({ buffer, byteOffset, length }: Float32Array): Int32Array {
  return new Int32Array(buffer, byteOffset, length);
}
