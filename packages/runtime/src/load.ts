// A .thimble file as a network that runs.
import { FileFormatError, sizeOf, ThimbleError } from '@thimble/base';
import type { Graph } from '@thimble/graph';
import { bytesAt, streamAt } from './file/address.ts';
import { type DecodeOptions, decode } from './file/decode.ts';
import { moduleFor } from './packed/memory.ts';
import { type PackOptions, pack } from './packed/pack.ts';
import type { PackedModel } from './packed/packed-model.ts';
import { canShare } from './packed/threads.ts';

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
  source: string | Uint8Array | ArrayBuffer | ReadableStream<Uint8Array>,
  options: LoadOptions = {},
): Promise<PackedModel> {
  const { maxBytes, signal, ...packing } = options;
  const { relaxedSimd, threads = 1 } = packing;
  // Compiles on another thread while the file is read; whatever goes wrong is told when it is asked for.
  moduleFor(relaxedSimd, threads > 1 && canShare()).catch(() => {});
  const decoding = {
    ...(maxBytes === undefined ? {} : { maxBytes }),
    ...(signal === undefined ? {} : { signal }),
  };
  const bytes = typeof source === 'string' ? await at(source, signal) : source;
  const { graph } = await decode(bytes, decoding);
  checkValues(graph, Math.max(MOST_VALUES_BYTES, maxBytes ?? 0));
  try {
    return await pack(graph, packing);
  } catch (error) {
    if (error instanceof ThimbleError) throw error;
    throw new FileFormatError(
      `The network of the .thimble file cannot be run: ${(error as Error).message}.`,
      { cause: error },
    );
  }
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

function at(address: string, signal: AbortSignal | undefined) {
  if (address.startsWith('file://')) return bytesAt('load', address);
  return streamAt('load', address, signal);
}
