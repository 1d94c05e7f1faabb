// The values of a model's weights outside the tensor memory: read, compared, written back.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { CheckpointError, NonFiniteError } from '@thimble/base';
import { placedLayers, placedWeights, variableOf } from './model-weights.ts';

/** Weights by place, as {@link placedWeights} names them. */
export type WeightValues = Record<
  string,
  { shape: number[]; values: Float32Array | Int32Array | Uint8Array }
>;

/** A copy of all weights of a model. */
export async function readWeights(model: LayersModel): Promise<WeightValues> {
  const values: WeightValues = {};
  for (const [place, weight] of placedWeights(model)) {
    const variable = variableOf(weight);
    const data = (await variable.data()) as Float32Array | Int32Array | Uint8Array;
    values[place] = { shape: variable.shape, values: data.slice() };
  }
  return values;
}

/** Throws a NonFiniteError that names a weight with NaN or an infinity in it. */
export async function checkWeights(model: LayersModel, when: string): Promise<void> {
  for (const weight of placedWeights(model).values()) {
    const values = await variableOf(weight).data();
    const bad = (values as Float32Array).find((value) => !Number.isFinite(value));
    if (bad === undefined) continue;
    throw new NonFiniteError(
      `fit: the weight "${weight.name}" has ${bad} in it ${when}, though the loss is finite. Lower the learning rate, clip the gradients (clipNorm) or check the data.`,
    );
  }
}

/** What differs between a model's weights and saved ones, or undefined. */
function difference(model: LayersModel, saved: WeightValues): string | undefined {
  const now = placedWeights(model);
  for (const [place, weight] of now) {
    const values = saved[place];
    if (!values) return `the model's weight ${place} ("${weight.name}") is not in it`;
    if (`${values.shape}` !== `${weight.shape}`) {
      return `the weight ${place} ("${weight.name}") has shape [${weight.shape}], there [${values.shape}]`;
    }
  }
  const extra = Object.keys(saved).find((place) => !now.has(place));
  return extra && `it holds a weight ${extra} that the model does not have`;
}

/** Writes saved weights into a model, bit by bit. */
export function writeWeights(model: LayersModel, saved: WeightValues): void {
  const problem = difference(model, saved);
  if (problem) throw new CheckpointError(`The saved weights are of another model: ${problem}.`);
  for (const [place, weight] of placedWeights(model)) {
    const variable = variableOf(weight);
    const { shape, values } = saved[place]!;
    const tensor = tf.tensor(values.slice(), shape, variable.dtype as 'float32');
    variable.assign(tensor);
    tensor.dispose();
  }
}

/** Which layers are trainable, by place: callbacks may have frozen or unfrozen some. */
export function readTrainable(model: LayersModel): Record<string, boolean> {
  return Object.fromEntries(
    [...placedLayers(model)].map(([place, layer]) => [place, layer.trainable]),
  );
}

/** Freezes and unfreezes layers as they were. */
export function writeTrainable(model: LayersModel, saved: Record<string, boolean>): void {
  for (const [place, layer] of placedLayers(model)) {
    const trainable = saved[place];
    if (trainable !== undefined && layer.trainable !== trainable) layer.trainable = trainable;
  }
}
