// The bytes of a checkpoint: a tree of plain values and typed arrays with a checksum over all of it.
//
//   0  magic "THCK"     4  version (1)     8  CRC-32 of all bytes from 12 on
//  12  total length    16  length of the JSON text, which follows at 20
//  then zeros up to a multiple of 8, then the typed arrays, each from a multiple of 8 on.
//
// All numbers are little-endian. In the JSON text a typed array is {"$": type, "at": offset, "n": length};
// NaN, infinities and -0, which JSON does not have, are {"$": "number", "v": text}.
import { CheckpointError, crc32 } from '@thimble/base';
import type { StateValue } from './training.ts';

const MAGIC = 0x4b434854;
const VERSION = 1;
const HEADER = 20;

const types = { Float32Array, Float64Array, Int32Array, Uint32Array, Uint8Array } as const;
type TypeName = keyof typeof types;
type Typed = Float32Array | Float64Array | Int32Array | Uint32Array | Uint8Array;
type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

function align8(n: number): number {
  return (n + 7) & ~7;
}

/**
 * The bytes of a value. Numbers and typed arrays come back bit-identical from {@link decodeState}.
 *
 * @throws CheckpointError for what a checkpoint cannot hold: functions, undefined, class instances.
 */
export function encodeState(value: StateValue): Uint8Array {
  const arrays: { at: number; array: Typed }[] = [];
  let end = 0;
  const toJson = (node: StateValue, path: string): Json => {
    if (node === null || typeof node === 'boolean' || typeof node === 'string') return node;
    if (typeof node === 'number') {
      if (Number.isFinite(node) && !Object.is(node, -0)) return node;
      return { $: 'number', v: Object.is(node, -0) ? '-0' : `${node}` };
    }
    if (Array.isArray(node)) return node.map((child, i) => toJson(child, `${path}[${i}]`));
    for (const [name, type] of Object.entries(types)) {
      if (node instanceof type) {
        const at = end;
        arrays.push({ at, array: node });
        end = align8(end + node.byteLength);
        return { $: name, at, n: node.length };
      }
    }
    if (
      typeof node === 'object' &&
      [Object.prototype, null].includes(Object.getPrototypeOf(node))
    ) {
      const entries = Object.entries(node).map(
        ([key, child]) => [key, toJson(child, `${path}.${key}`)] as [string, Json],
      );
      // An object of the caller's that looks like one of ours goes as a list of its entries.
      return Object.hasOwn(node, '$') ? { $: 'object', v: entries } : Object.fromEntries(entries);
    }
    throw new CheckpointError(
      `A checkpoint cannot hold ${typeof node} at ${path || 'its top'}; plain values and typed arrays it can.`,
    );
  };
  const text = new TextEncoder().encode(JSON.stringify(toJson(value, '')));
  const start = align8(HEADER + text.length);
  const bytes = new Uint8Array(start + end);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, VERSION, true);
  view.setUint32(12, bytes.length, true);
  view.setUint32(16, text.length, true);
  bytes.set(text, HEADER);
  for (const { at, array } of arrays) {
    bytes.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), start + at);
  }
  view.setUint32(8, crc32(bytes.subarray(12)), true);
  return bytes;
}

/** The text part, after all checks of the container. */
function open(bytes: Uint8Array, name: string): { text: Uint8Array; arrays: Uint8Array } {
  const fail = (what: string) =>
    new CheckpointError(`${name} ${what}. Remove it to start anew, or bring back a good copy.`);
  if (bytes.length < HEADER) throw fail(`is truncated: it has ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0, true) !== MAGIC) throw fail('is no Thimble checkpoint');
  const version = view.getUint32(4, true);
  if (version !== VERSION)
    throw fail(`has format version ${version}, and only ${VERSION} is known`);
  const length = view.getUint32(12, true);
  if (length !== bytes.length) {
    const how = bytes.length < length ? 'truncated' : 'corrupt';
    throw fail(`is ${how}: it has ${bytes.length} bytes where ${length} were written`);
  }
  if (view.getUint32(8, true) !== crc32(bytes.subarray(12))) {
    throw fail('is corrupt: its checksum does not fit');
  }
  const textLength = view.getUint32(16, true);
  return {
    text: bytes.subarray(HEADER, HEADER + textLength),
    arrays: bytes.subarray(align8(HEADER + textLength)),
  };
}

/**
 * The value in the bytes that {@link encodeState} made. `name` stands in error messages.
 *
 * @throws CheckpointError for bytes that are truncated, corrupt or something else.
 */
export function decodeState(bytes: Uint8Array, name = 'The checkpoint'): StateValue {
  const { text, arrays } = open(bytes, name);
  const fromJson = (node: Json): StateValue => {
    if (node === null || typeof node !== 'object') return node;
    if (Array.isArray(node)) return node.map(fromJson);
    const { $: tag } = node;
    if (tag === undefined) {
      return Object.fromEntries(Object.entries(node).map(([key, child]) => [key, fromJson(child)]));
    }
    if (tag === 'number') return Number(node.v);
    if (tag === 'object') {
      const entries = node.v as [string, Json][];
      return Object.fromEntries(entries.map(([key, child]) => [key, fromJson(child)]));
    }
    const type = types[tag as TypeName];
    const array = new type(node.n as number);
    const from = node.at as number;
    new Uint8Array(array.buffer).set(arrays.subarray(from, from + array.byteLength));
    return array;
  };
  return fromJson(JSON.parse(new TextDecoder().decode(text)) as Json);
}
