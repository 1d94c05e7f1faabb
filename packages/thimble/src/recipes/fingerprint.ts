// What tells apart studies that have the same words: what is kept is kept by it.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkOptions, crc32 } from '@thimble/base';
import type { BatchSource } from '@thimble/core';

/**
 * The checksum of a network and of some examples of its data: what came of others is not taken for it. Eight hex digits.
 *
 * @param sources those that are not there are left out
 * @param options.weights false where those of `model` are not used, as it is a pattern alone; default true
 * @throws {OptionError} for unknown options.
 * @example
 * fingerprintOf(model, [train]); // '9a3f61c2'
 */
export function fingerprintOf(
  model: LayersModel,
  sources: readonly (BatchSource | undefined)[],
  options: { weights?: boolean } = {},
): string {
  checkOptions('fingerprintOf', options, ['weights']);
  const { weights = true } = options;
  const shape = model.layers.map((layer) => [layer.name, layer.outputShape]);
  const there = sources.filter((source) => source !== undefined);
  return keyOf([shape, weights ? keyOfWeights(model) : null, keysOfData(there)]);
}

/** The checksum of plain data, for names of files: other data, another name. */
export function keyOf(value: unknown): string {
  const bytes = new TextEncoder().encode(JSON.stringify(value) ?? '');
  return crc32(bytes).toString(16).padStart(8, '0');
}

/** The checksum of the weights of a model. */
export function keyOfWeights(model: LayersModel): string {
  return keyOf(model.getWeights().map(keyOfValues));
}

/** Examples of a source that its checksum is made of. */
const LOOKED_AT = 256;

/**
 * The checksum of some examples of a source, at equal distances; undefined for a source that gives others at each call.
 */
function keyOfData(source: BatchSource): string | undefined {
  if (source.varies) return undefined;
  const count = Math.min(LOOKED_AT, source.size);
  const indices = Uint32Array.from({ length: count }, (_, i) =>
    Math.floor((i * source.size) / count),
  );
  const tensors = Object.values(source.batch(indices)).flat() as tf.Tensor[];
  const sums = tensors.map((tensor) => [tensor.shape, keyOfValues(tensor)]);
  tf.dispose(tensors);
  return keyOf(sums);
}

/** What sizes and some examples of sources say of them. */
export function keysOfData(sources: readonly BatchSource[]): [size: number, key: string | null][] {
  return sources.map((source) => [source.size, keyOfData(source) ?? null]);
}

function keyOfValues(tensor: tf.Tensor): number {
  const { buffer, byteOffset, byteLength } = tensor.dataSync();
  return crc32(new Uint8Array(buffer, byteOffset, byteLength));
}
