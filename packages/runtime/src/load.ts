// A .thimble file as a network that runs.
import { checkInteger, FileFormatError, ShapeError, sizeOf, ThimbleError } from '@thimble/base';
import type { Graph } from '@thimble/graph';
import { readAt, streamAt } from './file/address.ts';
import {
  bytesOf,
  type DecodeOptions,
  decodeStored,
  type FileSource,
  inMemory,
} from './file/decode.ts';
import type { ByteReader } from './file/reader.ts';
import type { Workspace } from './file/workspace.ts';
import { type PackOptions, packer } from './packed/pack.ts';
import { PackedModel } from './packed/packed-model.ts';

/** Options of {@link load}: those of `pack` and of `decode`. */
export interface LoadOptions extends PackOptions, DecodeOptions {}

/** Bytes that the values between the layers may take, unless `maxBytes` is more. */
const MOST_VALUES_BYTES = 2 ** 28;

/**
 * The network of a `.thimble` file on packed kernels: {@link decode}, then {@link pack}.
 *
 * The file need not be trusted: all outputs of its layers together may take 256 MiB, or `maxBytes` if that is more.
 *
 * @param source the bytes, a stream of them, or an address: "https://...", one relative to the page, or in Node
 *   "file://..."
 * @throws {FileFormatError} for a file that is not there, damaged or no `.thimble` file; {UnsupportedError}
 *   for a layer that it cannot run, by name.
 * @example
 * const net = await load(file);
 * const scores = net.predict(new Float32Array(28 * 28));
 * net.dispose();
 */
export async function load(
  source: string | FileSource,
  options: LoadOptions = {},
): Promise<PackedModel> {
  const { maxBytes, signal, ...packing } = options;
  if (maxBytes !== undefined) checkInteger('load', 'maxBytes', maxBytes, 0);
  signal?.throwIfAborted();
  const pack = await packer(packing);
  const there = typeof source === 'string' && source.startsWith('file://');
  const bytes = there ? undefined : await fetched(source, signal);
  const packed = inMemory((work) => {
    const graph = decodeStored(
      bytes ? work.open(bytes) : opened(work, source as string),
      work,
      maxBytes,
    );
    checkValues(graph, Math.max(MOST_VALUES_BYTES, maxBytes ?? 0));
    try {
      return pack(graph);
    } catch (error) {
      if (error instanceof ThimbleError && !(error instanceof ShapeError)) throw error;
      throw new FileFormatError(
        `The network of the .thimble file cannot be run: ${(error as Error).message}.`,
        { cause: error },
      );
    }
  });
  return PackedModel.start(packed);
}

async function fetched(
  source: string | FileSource,
  signal: AbortSignal | undefined,
): Promise<Uint8Array> {
  return bytesOf(
    typeof source === 'string' ? await streamAt('load', source, signal) : source,
    signal,
  );
}

/** A file that is read where it is decoded. */
function opened(work: Workspace, address: string): ByteReader {
  let reader: ByteReader | undefined;
  readAt('load', address, (bytes) => {
    reader = work.room(bytes);
    return reader.bytes;
  });
  return reader!;
}

/** @throws {FileFormatError} where a file of a few bytes would fill the memory with values between layers. */
function checkValues({ nodes }: Graph, most: number): void {
  let bytes = 0;
  for (const { name, outputs } of nodes) {
    for (const shape of outputs) bytes += 4 * sizeOf(shape.map((size) => size ?? 1));
    if (bytes <= most) continue;
    throw new FileFormatError(
      `The values between the layers of the .thimble file take more than ${most} bytes, from "${name}" on. Give load a larger maxBytes where you trust it.`,
    );
  }
}
