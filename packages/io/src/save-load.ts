// .thimble files by address: written all at once, read as plain tfjs-layers models.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkOptions, FileFormatError, ThimbleError, writeBytes } from '@thimble/base';
import { type DecodeOptions, decode } from '@thimble/runtime';
import { bytesAt, streamAt } from '@thimble/runtime/file';
import { type Encoded, type EncodeOptions, encodeWithReport } from './encode.ts';
import { pathOf } from './files.ts';
import { modelOfGraph } from './raise.ts';

/**
 * Writes a model as a `.thimble` file, in Node. Whoever reads the file sees the old bytes or the new ones,
 * never a part. Missing folders are made. Options are those of {@link encode}.
 *
 * @returns what {@link encodeWithReport} tells
 * @throws {OptionError} for an address that does not begin with "file://"; {UnsupportedError} in a browser,
 *   where `encode` gives the bytes; as {@link encode}.
 * @example
 * await save(model, 'file://model.thimble', { weights: 'int8' });
 */
export async function save(
  model: LayersModel,
  address: string,
  options: EncodeOptions = {},
): Promise<Encoded> {
  const path = pathOf('save', address);
  const encoded = await encodeWithReport(model, options);
  await writeBytes(path, encoded.bytes);
  return encoded;
}

/**
 * Reads a `.thimble` file as a plain tfjs-layers model, which is not compiled: layers of TensorFlow.js where
 * it can express them, the values of all weights as they were computed with when the file was written.
 * Files need not be trusted, see {@link decode}.
 *
 * @param source the bytes, a stream of them, or an address: "file://..." in Node, "https://...", or in a
 *   browser one relative to the page
 * @throws {FileFormatError} for a file that is not there, damaged or no `.thimble` file;
 *   {UnsupportedError} for layers whose class is not registered; {ShapeError} for layers that do not fit.
 * @example
 * await save(model, 'file://model.thimble');
 * const again = await load('file://model.thimble');
 */
export async function load(
  source: string | Uint8Array | ArrayBuffer | ReadableStream<Uint8Array>,
  options: DecodeOptions = {},
): Promise<LayersModel> {
  checkOptions('load', options, ['maxBytes', 'signal']);
  const { graph } = await decode(
    typeof source === 'string' ? await at(source, options) : source,
    options,
  );
  try {
    return modelOfGraph(graph);
  } catch (error) {
    if (error instanceof ThimbleError) throw error;
    const { message } = error as Error;
    throw new FileFormatError(`load: the network of the file makes no sense: ${message}`);
  }
}

async function at(address: string, { signal }: DecodeOptions) {
  if (address.startsWith('file://')) return bytesAt('load', address);
  return streamAt('load', address, signal);
}
