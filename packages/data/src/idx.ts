// IDX, the format of MNIST's files: two zero bytes, a type, the number of dimensions, each dimension as
// a big-endian 32-bit number, then the values. http://yann.lecun.com/exdb/mnist/
import { FileFormatError } from '@thimble/base';
import { unpack } from './gzip.ts';

/** The type byte of unsigned bytes, the only one that the data sets read here use. */
const UNSIGNED_BYTES = 0x08;

/** An array of bytes with its dimensions, outermost first. */
export interface IdxArray {
  shape: number[];
  data: Uint8Array<ArrayBuffer>;
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(' ') || 'nothing';
}

/**
 * Reads an IDX file of unsigned bytes, gzipped or not (the first bytes tell). The values are a view of
 * the given or unpacked bytes, not a copy.
 *
 * Throws a `FileFormatError` that says what was expected and what was found when the file is not IDX,
 * holds other values than unsigned bytes, or is shorter or longer than its header says.
 *
 * @param name what to call the file in an error.
 * @example
 * const { shape, data } = await parseIdx(bytes, 'train-images-idx3-ubyte'); // shape [60000, 28, 28]
 */
export async function parseIdx(packed: Uint8Array<ArrayBuffer>, name: string): Promise<IdxArray> {
  const bytes = await unpack(packed, name);
  if (bytes.length < 4 || bytes[0] !== 0 || bytes[1] !== 0) {
    throw new FileFormatError(
      `${name}: not an IDX file. Expected it to begin with 00 00 08, found ${hex(bytes.subarray(0, 4))}.`,
    );
  }
  const [, , type, rank] = bytes as unknown as [number, number, number, number];
  if (type !== UNSIGNED_BYTES) {
    throw new FileFormatError(
      `${name}: an IDX file of type 0x${hex(bytes.subarray(2, 3))}. Expected 0x08, unsigned bytes.`,
    );
  }
  const header = 4 + 4 * rank;
  if (rank === 0 || bytes.length < header) {
    throw new FileFormatError(
      `${name}: expected an IDX header of ${header} bytes for ${rank} dimensions, found ${bytes.length} bytes.`,
    );
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, header);
  const shape = Array.from({ length: rank }, (_, i) => view.getUint32(4 + 4 * i));
  const expected = header + shape.reduce((product, n) => product * n, 1);
  if (bytes.length !== expected) {
    const what = bytes.length < expected ? 'truncated' : 'too long';
    throw new FileFormatError(
      `${name}: ${what}. Expected ${expected} bytes for the shape [${shape.join(', ')}], found ${bytes.length}.`,
    );
  }
  return { shape, data: bytes.subarray(header) };
}
