// What is kept between steps, so that an interrupted compression goes on after the last step that was finished.
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';
import { CheckpointError, crc32, readBytes, writeBytes } from '@thimble/base';
import type { BatchSource } from '@thimble/core';
import { registerFileHandlers } from '@thimble/io';
import type { StepReport } from './measure.ts';

/** What a finished step left. */
export interface KeptStep {
  report: StepReport;
  encoding: object | null;
}

/** The checksum of plain data, for names of files: other data, another name. */
export function keyOf(value: unknown): string {
  const bytes = new TextEncoder().encode(JSON.stringify(value) ?? '');
  return crc32(bytes).toString(16).padStart(8, '0');
}

/** The checksum of the weights of a model. */
export function keyOfWeights(model: tfl.LayersModel): string {
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

/** Keeps a model with its transforms, then what says that it is whole. */
export async function keepStep(
  place: string,
  model: tfl.LayersModel,
  kept: KeptStep,
): Promise<void> {
  registerFileHandlers();
  await model.save(`file://${place}`);
  await writeBytes(`${place}/step.json`, new TextEncoder().encode(JSON.stringify(kept)));
}

/** What was kept of a step; undefined where it was not finished. */
export async function keptStep(place: string): Promise<KeptStep | undefined> {
  const bytes = await readBytes(`${place}/step.json`);
  if (!bytes) return undefined;
  try {
    return JSON.parse(new TextDecoder().decode(bytes)) as KeptStep;
  } catch (cause) {
    throw new CheckpointError(
      `compress: ${place}/step.json is damaged. Delete the folder to do the step again.`,
      { cause },
    );
  }
}

/** The model that was kept. */
export async function keptModel(place: string): Promise<tfl.LayersModel> {
  registerFileHandlers();
  return tfl.loadLayersModel(`file://${place}/model.json`);
}
