// A second model like the first: with its weights, or with fresh ones.
import type * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkOptions, withSeed } from '@thimble/base';
import { ensureBuilt, placedWeights, variableOf } from './model-weights.ts';
import { layerFromConfig } from './parametrized-layer.ts';

/** Options of {@link copyModel}. */
export interface CopyModelOptions {
  /**
   * Draws fresh weights with the layers' own initializers, the same for the same seed; without it the copy
   * has the weights of the model.
   */
  seed?: number | string;
}

/**
 * A new model of the same architecture, transforms included, that shares nothing with the given one. It is
 * not compiled. With `seed` it is the model as if it were built anew; what transforms brought (masks,
 * gates) then starts anew too.
 *
 * @throws {NoMatchError} for a layer class that is not registered; {UnsupportedError} when the model is not
 *   built.
 * @example
 * const again = copyModel(model); // the same weights
 * const other = copyModel(model, { seed: 7 }); // the same architecture, other weights
 */
export function copyModel(model: LayersModel, options: CopyModelOptions = {}): LayersModel {
  checkOptions('copyModel', options, ['seed']);
  ensureBuilt('copyModel', model);
  const { seed } = options;
  const build = () =>
    layerFromConfig(
      model.getClassName(),
      plainConfig(model.getConfig()) as tf.serialization.ConfigDict,
    ) as LayersModel;
  const copy = seed === undefined ? build() : withSeed(seed, build);
  ensureBuilt('copyModel', copy);
  if (seed === undefined) copyValues(model, copy);
  return copy;
}

/** Writes the weights of a model into another one of the same architecture, bit by bit. */
export function copyValues(from: LayersModel, to: LayersModel): void {
  const targets = placedWeights(to);
  for (const [place, weight] of placedWeights(from)) {
    variableOf(targets.get(place)!).assign(variableOf(weight) as tf.Tensor);
  }
}

/** A deep copy of a config: building a model from one changes it. */
function plainConfig(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plainConfig);
  if (value === null || typeof value !== 'object' || value.constructor !== Object) return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, plainConfig(entry)]));
}
