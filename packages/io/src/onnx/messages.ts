// The messages of an ONNX file that Thimble reads and writes, and their protocol buffers. Field numbers are those
// of onnx.proto; fields that are not here are passed over.
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { FileFormatError } from '@thimble/base';

export interface OnnxTensor {
  name?: string;
  dims: number[];
  /** One of {@link ELEMENTS}. */
  type?: number;
  raw?: Uint8Array;
  floats: number[];
  ints: number[];
  longs: number[];
  doubles: number[];
  /** 1: the values are in another file. */
  location?: number;
}

export interface OnnxAttribute {
  name?: string;
  /** One of {@link ATTRIBUTES}. */
  type?: number;
  f?: number;
  i?: number;
  s?: Uint8Array;
  t?: OnnxTensor;
  floats: number[];
  ints: number[];
}

export interface OnnxNode {
  name?: string;
  op?: string;
  domain?: string;
  inputs: string[];
  outputs: string[];
  attributes: OnnxAttribute[];
}

export interface OnnxDimension {
  size?: number;
  symbol?: string;
  /** What lies along it, such as {@link CHANNELS}. */
  denotation?: string;
}

export interface OnnxValueInfo {
  name?: string;
  type?: { tensor?: { element?: number; shape?: { dims: OnnxDimension[] } } };
}

export interface OnnxGraph {
  name?: string;
  nodes: OnnxNode[];
  initializers: OnnxTensor[];
  inputs: OnnxValueInfo[];
  outputs: OnnxValueInfo[];
}

export interface OnnxModel {
  irVersion?: number;
  producer?: string;
  opsets: { domain?: string; version?: number }[];
  graph?: OnnxGraph;
}

/** Types of elements. */
export const ELEMENTS = { float: 1, uint8: 2, int8: 3, int32: 6, int64: 7, double: 11 } as const;
/** Types of attributes. */
export const ATTRIBUTES = { float: 1, int: 2, string: 3, tensor: 4, floats: 6, ints: 7 } as const;
/** The denotation of an axis of channels. */
export const CHANNELS = 'DATA_CHANNEL';

type Scalar = 'int' | 'float' | 'double' | 'string' | 'bytes';
type Schema = Record<string, Field>;
interface Field {
  number: number;
  kind: Scalar | Schema;
  /** Whether it may come several times; 'packed': written in one run. */
  many?: boolean | 'packed';
}

const one = (number: number, kind: Scalar | Schema): Field => ({ number, kind });
const many = (number: number, kind: Scalar | Schema): Field => ({ number, kind, many: true });
const packed = (number: number, kind: Scalar): Field => ({ number, kind, many: 'packed' });

const TENSOR: Schema = {
  dims: many(1, 'int'),
  type: one(2, 'int'),
  floats: packed(4, 'float'),
  ints: packed(5, 'int'),
  longs: packed(7, 'int'),
  name: one(8, 'string'),
  raw: one(9, 'bytes'),
  doubles: packed(10, 'double'),
  location: one(14, 'int'),
};
const NODE: Schema = {
  inputs: many(1, 'string'),
  outputs: many(2, 'string'),
  name: one(3, 'string'),
  op: one(4, 'string'),
  attributes: many(5, {
    name: one(1, 'string'),
    f: one(2, 'float'),
    i: one(3, 'int'),
    s: one(4, 'bytes'),
    t: one(5, TENSOR),
    floats: many(7, 'float'),
    ints: many(8, 'int'),
    type: one(20, 'int'),
  }),
  domain: one(7, 'string'),
};
const DIMENSION: Schema = {
  size: one(1, 'int'),
  symbol: one(2, 'string'),
  denotation: one(3, 'string'),
};
const VALUE: Schema = {
  name: one(1, 'string'),
  type: one(2, {
    tensor: one(1, { element: one(1, 'int'), shape: one(2, { dims: many(1, DIMENSION) }) }),
  }),
};
const MODEL: Schema = {
  irVersion: one(1, 'int'),
  producer: one(2, 'string'),
  graph: one(7, {
    nodes: many(1, NODE),
    name: one(2, 'string'),
    initializers: many(5, TENSOR),
    inputs: many(11, VALUE),
    outputs: many(12, VALUE),
  }),
  opsets: many(8, { domain: one(1, 'string'), version: one(2, 'int') }),
};

type Message = Record<string, unknown>;

/** The bytes of a model. */
export function encodeModel(model: OnnxModel): Uint8Array<ArrayBuffer> {
  const writer = new BinaryWriter();
  writeMessage(writer, MODEL, model as unknown as Message);
  return writer.finish();
}

function writeMessage(writer: BinaryWriter, schema: Schema, message: Message): void {
  for (const [key, field] of Object.entries(schema)) {
    const value = message[key];
    if (value === undefined) continue;
    const values = field.many ? (value as unknown[]) : [value];
    if (field.many === 'packed') {
      if (values.length === 0) continue;
      writer.tag(field.number, WireType.LengthDelimited).fork();
      for (const item of values) writeScalar(writer, field.kind as Scalar, item);
      writer.join();
      continue;
    }
    for (const item of values) {
      writer.tag(field.number, wireTypeOf(field.kind));
      if (typeof field.kind === 'string') writeScalar(writer, field.kind, item);
      else {
        writer.fork();
        writeMessage(writer, field.kind, item as Message);
        writer.join();
      }
    }
  }
}

function writeScalar(writer: BinaryWriter, kind: Scalar, value: unknown): void {
  if (kind === 'int') writer.int64(value as number);
  else if (kind === 'float') writer.float(value as number);
  else if (kind === 'double') writer.double(value as number);
  else if (kind === 'string') writer.string(value as string);
  else writer.bytes(value as Uint8Array);
}

function wireTypeOf(kind: Scalar | Schema): WireType {
  if (kind === 'int') return WireType.Varint;
  if (kind === 'float') return WireType.Bit32;
  return kind === 'double' ? WireType.Bit64 : WireType.LengthDelimited;
}

/**
 * The model in a file that need not be one: what is read is never larger than a small multiple of the bytes.
 *
 * @throws {FileFormatError} for bytes that are cut off or no protocol buffers.
 */
export function decodeModel(bytes: Uint8Array): OnnxModel {
  try {
    const reader = new BinaryReader(bytes);
    return readMessage(reader, MODEL, bytes.length) as unknown as OnnxModel;
  } catch (error) {
    throw new FileFormatError(
      `fromOnnx: these ${bytes.length} bytes are no whole ONNX model: ${(error as Error).message}.`,
    );
  }
}

function readMessage(reader: BinaryReader, schema: Schema, end: number): Message {
  const message: Message = {};
  for (const [key, { many }] of Object.entries(schema)) if (many) message[key] = [];
  const byNumber = fieldsOf(schema);
  while (reader.pos < end) {
    const [number, wire] = reader.tag();
    const known = byNumber.get(number);
    if (!known) {
      reader.skip(wire, number);
      continue;
    }
    const [key, { kind, many }] = known;
    const own = wireTypeOf(kind);
    if (many && wire === WireType.LengthDelimited && own !== wire) {
      const last = lengthEnd(reader);
      while (reader.pos < last)
        (message[key] as unknown[]).push(readScalar(reader, kind as Scalar));
      if (reader.pos !== last) throw new Error(`"${key}" ends in mid-value`);
      continue;
    }
    if (wire !== own) throw new Error(`"${key}" is of another kind than ONNX has it`);
    const value =
      typeof kind === 'string'
        ? readScalar(reader, kind)
        : readMessage(reader, kind, lengthEnd(reader));
    if (many) (message[key] as unknown[]).push(value);
    else message[key] = value;
  }
  if (reader.pos !== end) throw new Error('a part is longer than the whole');
  return message;
}

/** Where the part that begins with its length ends. One that ends behind the whole is found out there. */
function lengthEnd(reader: BinaryReader): number {
  const length = reader.uint32();
  return reader.pos + length;
}

function readScalar(reader: BinaryReader, kind: Scalar): unknown {
  if (kind === 'int') return Number(reader.int64());
  if (kind === 'float') return reader.float();
  if (kind === 'double') return reader.double();
  return kind === 'string' ? reader.string() : reader.bytes();
}

const numbered = new Map<Schema, Map<number, [string, Field]>>();

function fieldsOf(schema: Schema): Map<number, [string, Field]> {
  let fields = numbered.get(schema);
  if (!fields) {
    fields = new Map(Object.entries(schema).map((entry) => [entry[1].number, entry]));
    numbered.set(schema, fields);
  }
  return fields;
}
