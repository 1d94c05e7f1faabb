// The array format of NumPy. The format is a page long (numpy.org/doc/stable/reference/generated/numpy.lib.format.html),
// and the readers on npm bring a fetch library with them.
import { FileFormatError, sizeOf, UnsupportedError } from '@thimble/base';

/** An array from a file. */
export interface NpyArray {
  shape: number[];
  values: ArrayLike<number>;
  /** True for unsigned bytes, which are taken for images. */
  isBytes: boolean;
}

const MAGIC = [0x93, ...new TextEncoder().encode('NUMPY')];

type Reader = (view: DataView, count: number, little: boolean) => ArrayLike<number>;

function numbers<A extends { [index: number]: number; length: number }>(
  array: (count: number) => A,
  size: number,
  read: (view: DataView, at: number, little: boolean) => number,
): Reader {
  return (view, count, little) => {
    const values = array(count);
    for (let i = 0; i < count; i++) values[i] = read(view, i * size, little);
    return values;
  };
}

const READERS: Record<string, { size: number; read: Reader }> = {
  u1: { size: 1, read: (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength) },
  b1: { size: 1, read: (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength) },
  i1: { size: 1, read: (view) => new Int8Array(view.buffer, view.byteOffset, view.byteLength) },
  u2: kind(
    2,
    (n) => new Uint16Array(n),
    (view, at, little) => view.getUint16(at, little),
  ),
  i2: kind(
    2,
    (n) => new Int16Array(n),
    (view, at, little) => view.getInt16(at, little),
  ),
  u4: kind(
    4,
    (n) => new Uint32Array(n),
    (view, at, little) => view.getUint32(at, little),
  ),
  i4: kind(
    4,
    (n) => new Int32Array(n),
    (view, at, little) => view.getInt32(at, little),
  ),
  i8: kind(
    8,
    (n) => new Float64Array(n),
    (view, at, little) => Number(view.getBigInt64(at, little)),
  ),
  u8: kind(
    8,
    (n) => new Float64Array(n),
    (view, at, little) => Number(view.getBigUint64(at, little)),
  ),
  f4: kind(
    4,
    (n) => new Float32Array(n),
    (view, at, little) => view.getFloat32(at, little),
  ),
  f8: kind(
    8,
    (n) => new Float64Array(n),
    (view, at, little) => view.getFloat64(at, little),
  ),
};

function kind<A extends { [index: number]: number; length: number }>(
  size: number,
  array: (count: number) => A,
  read: (view: DataView, at: number, little: boolean) => number,
): { size: number; read: Reader } {
  return { size, read: numbers(array, size, read) };
}

/**
 * Reads an array, versions 1 to 3 of the format, numbers of up to 64 bits.
 *
 * @throws {FileFormatError} for bytes that are none or too few; {UnsupportedError} for other types, and for columns
 *   first.
 */
export function parseNpy(bytes: Uint8Array, name: string): NpyArray {
  if (MAGIC.some((byte, i) => bytes[i] !== byte)) {
    throw new FileFormatError(`${name} is no .npy file: it does not begin with "\\x93NUMPY".`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const start = bytes[6] === 1 ? 10 : 12;
  if (bytes.length < start) throw new FileFormatError(`${name} ends in its header.`);
  const length = start === 10 ? view.getUint16(8, true) : view.getUint32(8, true);
  const header = new TextDecoder('latin1').decode(bytes.subarray(start, start + length));
  const descr = /'descr':\s*'([<>|=])([a-z]\d+)'/.exec(header);
  const shapeText = /'shape':\s*\(([^)]*)\)/.exec(header)?.[1];
  if (!descr || shapeText === undefined) {
    throw new UnsupportedError(
      `${name}: its header says ${header.trim().slice(0, 80)}. Save a plain array of numbers, such as ` +
        'np.save(path, x.astype(np.float32)).',
    );
  }
  const [, order, type] = descr;
  const reader = READERS[type!];
  if (!reader) {
    throw new UnsupportedError(
      `${name} holds numbers of type ${type}. Save it as x.astype(np.float32), or as np.uint8 for images.`,
    );
  }
  const shape = shapeText
    .split(',')
    .filter((part) => part.trim() !== '')
    .map(Number);
  if (/'fortran_order':\s*True/.test(header) && shape.length > 1) {
    throw new UnsupportedError(`${name} has its columns first. Save np.ascontiguousarray(x).`);
  }
  const total = sizeOf(shape);
  const body = bytes.subarray(start + length);
  if (body.length !== total * reader.size) {
    throw new FileFormatError(
      `${name}: expected ${total * reader.size} bytes for the shape [${shape.join(', ')}], found ${body.length}.`,
    );
  }
  const content = new DataView(body.buffer, body.byteOffset, body.byteLength);
  return { shape, values: reader.read(content, total, order !== '>'), isBytes: type === 'u1' };
}
