// From the bytes of a .thimble file to the network in it.
import {
  checkInteger,
  checkOptions,
  crc32,
  DataError,
  FileFormatError,
  UnsupportedError,
} from '@thimble/base';
import type { Graph, GraphWeight } from '@thimble/graph';
import { arithmeticText } from './arithmetic.ts';
import { checkGraph, type Description, type FileNotes, parseDescription } from './description.ts';
import { FREE_VALUES, HEAD, MAGIC, MOST_VALUES, VALUES_PER_BYTE, VERSION } from './format.ts';
import { textOfPhrases } from './phrases.ts';
import { ByteReader, corrupt } from './reader.ts';
import { type Budget, readWeight, storeWeight } from './weight.ts';
import { Workspace } from './workspace.ts';

/** What a `.thimble` file holds. */
export interface ThimbleFile extends FileNotes {
  /** The network; every weight has its encoding and its values as they are computed with. */
  graph: Graph;
  /** Version of the format. */
  version: number;
  /** Bytes of the file. */
  bytes: number;
}

/** The bytes of a file, or a stream of them, such as the body of a response. */
export type FileSource = Uint8Array | ArrayBuffer | ReadableStream<Uint8Array>;

/** Options of {@link decode}. */
export interface DecodeOptions {
  /**
   * Memory that the weights may take as float32. Default: 4 MiB, or 1 KiB for every byte of the file if
   * that is more, and 2 GiB at most; whatever `encode` wrote is within the former. A safeguard against files made to fill the memory.
   */
  maxBytes?: number;
  /** Ends the reading of a stream; its reason is thrown. */
  signal?: AbortSignal;
}

const TEXT_PER_BYTE = 256;

/**
 * Reads a `.thimble` file. No TensorFlow.js is needed: the result is plain data.
 *
 * The file need not be trusted: one that is truncated, altered or made up ends in an error, in time and
 * memory bounded by its size and `maxBytes`.
 *
 * @param source the bytes, or a stream of them, such as the body of a response
 * @throws {FileFormatError} for bytes that are damaged, cut off or no `.thimble` file; {UnsupportedError} for
 *   a file of a later version; {DataError} for what is neither bytes nor a stream.
 * @example
 * const { graph } = await decode(file);
 * console.log(graph.nodes.length, graph.weights['fc1/kernel']?.encoding.values.type);
 */
export async function decode(
  source: FileSource,
  options: DecodeOptions = {},
): Promise<ThimbleFile> {
  checkOptions('decode', options, ['maxBytes', 'signal']);
  const { maxBytes, signal } = options;
  if (maxBytes !== undefined) checkInteger('decode', 'maxBytes', maxBytes, 0);
  return decodeBytes(await bytesOf(source, signal), maxBytes);
}

/** As {@link decode}, of bytes that are there. */
export function decodeBytes(bytes: Uint8Array, maxBytes?: number): ThimbleFile {
  return decodeParts(bytes, maxBytes).file;
}

/** What a file holds, and where in it the weights begin and end. */
export interface FileParts {
  file: ThimbleFile;
  from: number;
  to: number;
}

/** As {@link decodeBytes}, and tells where the weights are. */
export function decodeParts(bytes: Uint8Array, maxBytes?: number): FileParts {
  return inMemory((work) => {
    const reader = work.open(bytes);
    const { graph, notes, from } = readAll(reader, work, readWeight, maxBytes);
    const file = { graph, ...notes, version: VERSION, bytes: bytes.length };
    return { file, from, to: reader.at };
  });
}

/** The network of a file in the workspace, where its weights stay. */
export function decodeStored(reader: ByteReader, work: Workspace, maxBytes?: number): Graph {
  return readAll(reader, work, storeWeight, maxBytes).graph;
}

/** Calls `run` with a workspace. @throws {FileFormatError} where a file needs more memory than there is. */
export function inMemory<T>(run: (work: Workspace) => T): T {
  try {
    return Workspace.use(run);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new FileFormatError(
      `The .thimble file needs more memory than there is: ${error.message}.`,
    );
  }
}

/** The description and the weights, and where these begin. */
function readAll(
  reader: ByteReader,
  work: Workspace,
  read: (reader: ByteReader, budget: Budget, work: Workspace) => GraphWeight,
  maxBytes: number | undefined,
): Pick<Description, 'graph' | 'notes'> & { from: number } {
  checkHead(reader);
  const values =
    maxBytes === undefined
      ? Math.min(MOST_VALUES, Math.max(FREE_VALUES, reader.bytes.length * VALUES_PER_BYTE))
      : Math.floor(maxBytes / 4);
  const { graph, keys, notes } = parseDescription(readText(reader, work));
  const from = reader.at;
  const budget = { values };
  const weights: Graph['weights'] = {};
  for (const key of keys) {
    weights[key] = read(reader, budget, work);
    graph.weights[key] = { encoding: weights[key].encoding };
  }
  for (let at = reader.at; at < reader.bytes.length; at++) {
    if (reader.bytes[at] !== 0) throw corrupt('something follows its end');
  }
  checkGraph(graph);
  return { graph: { ...graph, weights }, notes, from };
}

/** The description as text. */
function readText(reader: ByteReader, work: Workspace): string {
  const length = reader.varint('the length of the description');
  const { from, count } = reader.section('the description');
  if (length > TEXT_PER_BYTE * (count + 1)) throw corrupt('its description is too long');
  const text = textOfPhrases(arithmeticText(work, from, count, length));
  if (text === undefined) throw corrupt('its description has unknown phrases');
  return text;
}

function checkHead(reader: ByteReader): void {
  const { bytes } = reader;
  if (bytes.length < MAGIC.length || MAGIC.some((byte, i) => bytes[i] !== byte)) {
    throw new FileFormatError(
      'This is no .thimble file: it does not begin with "THMB". Files are written by encode and save.',
    );
  }
  const version = bytes[MAGIC.length];
  if (version !== undefined && version > VERSION) {
    throw new UnsupportedError(
      `The .thimble file has format version ${version}, and this reads up to ${VERSION}: bring @thimble/runtime up to date.`,
    );
  }
  if (version === 0) throw corrupt('it has no version');
  if (bytes.length < HEAD) throw corrupt(`it ends after ${bytes.length} bytes`);
  reader.at = HEAD;
  const length = reader.varint('its length');
  if (length !== bytes.length) {
    throw corrupt(`it has ${bytes.length} bytes where ${length} were written`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(MAGIC.length + 1, true) !== crc32(bytes.subarray(HEAD))) {
    throw corrupt('its checksum does not fit');
  }
}

export async function bytesOf(
  source: FileSource,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  signal?.throwIfAborted();
  if (source instanceof Uint8Array) return source;
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (typeof source?.getReader === 'function') return collect(source, signal);
  throw new DataError(
    'A .thimble file is given as a Uint8Array, an ArrayBuffer, a stream of bytes such as the body of a response, or for load an address.',
  );
}

/** All bytes of a stream; it is ended as soon as it brings more than its head says. */
async function collect(
  stream: ReadableStream<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  const reader = stream.getReader();
  const stop = () => void reader.cancel(signal?.reason).catch(() => {});
  signal?.addEventListener('abort', stop);
  let bytes: Uint8Array = new Uint8Array(1 << 16);
  let have = 0;
  let expected = Number.POSITIVE_INFINITY;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      signal?.throwIfAborted();
      if (done) return bytes.subarray(0, have);
      if (have + value.length > bytes.length) {
        const grown = new Uint8Array(Math.max(2 * bytes.length, have + value.length));
        grown.set(bytes.subarray(0, have));
        bytes = grown;
      }
      bytes.set(value, have);
      have += value.length;
      if (expected === Number.POSITIVE_INFINITY) expected = lengthSaid(bytes.subarray(0, have));
      if (have > expected) {
        await reader.cancel();
        throw corrupt(`it has more bytes than the ${expected} that were written`);
      }
    }
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

/** The length that the head of a file says, or infinity while that is not known. */
function lengthSaid(bytes: Uint8Array): number {
  if (bytes.length < HEAD + 8) return Number.POSITIVE_INFINITY;
  if (MAGIC.some((byte, i) => bytes[i] !== byte)) {
    throw new FileFormatError('This is no .thimble file: it does not begin with "THMB".');
  }
  return new ByteReader(bytes, HEAD).varint('its length');
}
