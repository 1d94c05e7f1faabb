// Dropout that follows the number of connections, as Han et al. retrain pruned networks.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel, layers } from '@tensorflow/tfjs-layers';
import { NoMatchError } from '@thimble/base';
import { walkLayers } from '@thimble/core';
import type { MaskedWeight } from './masked-weights.ts';

type Dropout = layers.Layer & { rate: number };

/** A dropout layer, its rate before pruning, and the mask of the layer that comes next. */
export type DropoutRates = { layer: Dropout; original: number; mask: tf.Variable }[];

/** The rates before anything changed them. */
const originals = new WeakMap<layers.Layer, number>();

/** The dropout layers of a model, each with the next masked kernel in the order of the layers. */
export function dropoutRates(
  owner: string,
  model: LayersModel,
  weights: readonly MaskedWeight[],
): DropoutRates {
  const all = walkLayers(model);
  const found = all.flatMap((layer, i) => {
    if (layer.getClassName() !== 'Dropout') return [];
    const next = all
      .slice(i)
      .map((later) => weights.find(({ weight }) => weight.layer === later))
      .find((masked) => masked !== undefined);
    const dropout = layer as Dropout;
    if (!next) return [];
    const original = originals.get(layer) ?? dropout.rate;
    originals.set(layer, original);
    return [{ layer: dropout, original, mask: next.mask }];
  });
  if (found.length > 0) return found;
  throw new NoMatchError(
    `${owner}: adjustDropout finds no dropout layer in front of a masked kernel in "${model.name}". ` +
      'Leave the option out.',
  );
}

/**
 * Sets the rates to `D_r = D_o * sqrt(C_r / C_o)`, with C the connections of the layer that reads what is
 * dropped, after and before pruning (Han et al. 2015, section 3.2).
 */
export function adjustedDropout(rates: DropoutRates): void {
  for (const { layer, original, mask } of rates) {
    const kept = tf.tidy(() => tf.mean(mask).dataSync()[0]!);
    layer.rate = original * Math.sqrt(kept);
  }
}
