// From a tfjs model to the bytes of a .thimble file.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { lower } from '@thimble/core';
import { writeFile } from './write-file.ts';

export async function encode(model: LayersModel): Promise<Uint8Array<ArrayBuffer>> {
  return writeFile(lower(model), {}, { entropies: ['none', 'huffman', 'arithmetic'] }).bytes;
}
