// Numbers that an ONNX file holds.
import { FileFormatError, sizeOf, UnsupportedError } from '@thimble/base';
import { ELEMENTS, type OnnxTensor } from './messages.ts';

/** How the numbers of a constant are coded: value = scale * (code - zeroPoint). */
export interface Steps {
  scale: Float32Array;
  /** For codes from 0 to 255. */
  zeroPoint: Int32Array;
  /** Along which there is a step each; null: one for all. */
  axis: number | null;
}

/** A tensor whose values are known. */
export interface Constant {
  dims: number[];
  data: Float32Array | Int32Array | Uint8Array | Int8Array | Float64Array;
  /** Of what was codes of 8 bits. */
  steps?: Steps;
}

/** The values of a tensor in a file; whole numbers of 64 bits become floats of 64. */
export function constantOf({
  name = '',
  dims,
  type,
  raw,
  location,
  ...lists
}: OnnxTensor): Constant {
  if (location === 1) {
    throw new UnsupportedError(
      `fromOnnx: the values of "${name}" are in another file. Save the model as one file.`,
    );
  }
  if (!dims.every((size) => Number.isSafeInteger(size) && size >= 0)) {
    throw new FileFormatError(`fromOnnx: tensor "${name}" has the sizes [${dims}].`);
  }
  const data = raw ? fromBytes(name, type, raw) : fromLists(name, type, lists);
  if (data.length !== sizeOf(dims)) {
    throw new FileFormatError(
      `fromOnnx: tensor "${name}" of sizes [${dims}] has ${data.length} values.`,
    );
  }
  return { dims, data };
}

function fromBytes(name: string, type: number | undefined, raw: Uint8Array): Constant['data'] {
  const width = { 1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 11: 8 }[type ?? 0] ?? 1;
  if (raw.length % width !== 0) {
    throw new FileFormatError(`fromOnnx: tensor "${name}" ends in mid-value.`);
  }
  const { buffer } = new Uint8Array(raw); // a copy, also of a Buffer of Node
  switch (type) {
    case ELEMENTS.float:
      return new Float32Array(buffer);
    case ELEMENTS.uint8:
      return new Uint8Array(buffer);
    case ELEMENTS.int8:
      return new Int8Array(buffer);
    case ELEMENTS.int32:
      return new Int32Array(buffer);
    case ELEMENTS.int64:
      return Float64Array.from(new BigInt64Array(buffer), Number);
    case ELEMENTS.double:
      return new Float64Array(buffer);
    default:
      throw wrongType(name, type);
  }
}

function fromLists(
  name: string,
  type: number | undefined,
  { floats, ints, longs, doubles }: Pick<OnnxTensor, 'floats' | 'ints' | 'longs' | 'doubles'>,
): Constant['data'] {
  switch (type) {
    case ELEMENTS.float:
      return Float32Array.from(floats);
    case ELEMENTS.uint8:
      return Uint8Array.from(ints);
    case ELEMENTS.int8:
      return Int8Array.from(ints);
    case ELEMENTS.int32:
      return Int32Array.from(ints);
    case ELEMENTS.int64:
      return Float64Array.from(longs);
    case ELEMENTS.double:
      return Float64Array.from(doubles);
    default:
      throw wrongType(name, type);
  }
}

function wrongType(name: string, type: number | undefined): UnsupportedError {
  return new UnsupportedError(
    `fromOnnx: tensor "${name}" has elements of type ${type}. Known are ${Object.keys(ELEMENTS).join(', ')}: convert the model to float32.`,
  );
}

/** The real numbers that codes stand for. */
export function dequantized(
  codes: Constant,
  scale: Constant,
  zero: Constant | undefined,
  axis: number,
): Constant {
  const { dims, data } = codes;
  const single = scale.data.length === 1;
  const along = axis < 0 ? axis + dims.length : axis;
  if (!single && dims[along] !== scale.data.length) {
    throw new FileFormatError(
      `fromOnnx: ${scale.data.length} steps for axis ${axis} of codes of sizes [${dims}].`,
    );
  }
  if (zero && zero.data.length !== scale.data.length) {
    throw new FileFormatError(
      `fromOnnx: ${zero.data.length} zero points for ${scale.data.length} steps.`,
    );
  }
  const inner = single ? 1 : sizeOf(dims.slice(along + 1));
  const channel = (i: number) => (single ? 0 : Math.floor(i / inner) % scale.data.length);
  const values = Float32Array.from(data, (code, i) => {
    const c = channel(i);
    return scale.data[c]! * (code - (zero?.data[c] ?? 0));
  });
  if (data instanceof Int32Array) return { dims, data: values };
  const shift = data instanceof Int8Array ? 128 : 0;
  const steps = {
    scale: Float32Array.from(scale.data),
    zeroPoint: Int32Array.from(scale.data, (_, c) => (zero?.data[c] ?? 0) + shift),
    axis: single ? null : along,
  };
  return { dims, data: values, steps };
}
