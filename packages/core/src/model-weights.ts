// The weights and penalties of a model. Weights are named by position: a second process, or a model
// built a second time in this one, gives the same names, while tfjs numbers its own names through.
import type * as tf from '@tensorflow/tfjs-core';
import type { LayersModel, LayerVariable, Sequential } from '@tensorflow/tfjs-layers';
import { UnsupportedError } from '@thimble/base';
import { internals, type Layer, localName } from './internals.ts';
import { innerLayers, walkLayers } from './walk.ts';

/**
 * Builds a Sequential that is not built yet (compile would); its outputs have no names before.
 *
 * @throws UnsupportedError when it does not know its input shape.
 */
export function ensureBuilt(owner: string, model: LayersModel): void {
  if (model.outputNames?.length > 0) return;
  if (!model.inputs?.length) {
    throw new UnsupportedError(
      `${owner}: the model "${model.name}" does not know its input. Give its first layer an inputShape.`,
    );
  }
  (model as Sequential).build();
}

/** Every layer of a model once, nested ones included, with its place: '0', '2.1' ... */
export function placedLayers(model: LayersModel): Map<string, Layer> {
  const placed = new Map<string, Layer>();
  const seen = new Set<Layer>();
  const visit = (layers: Layer[], place: string) => {
    layers.forEach((layer, i) => {
      if (seen.has(layer)) return;
      seen.add(layer);
      placed.set(`${place}${i}`, layer);
      visit(innerLayers(layer), `${place}${i}.`);
    });
  };
  visit(model.layers, '');
  return placed;
}

/** Every weight of a model once, under a name that does not depend on how tfjs numbered its layers. */
export function placedWeights(model: LayersModel): Map<string, LayerVariable> {
  const placed = new Map<string, LayerVariable>();
  const seen = new Set<number>();
  for (const [place, layer] of placedLayers(model)) {
    if (internals(layer).layers) continue;
    for (const weight of layer.weights) {
      if (seen.has(weight.id)) continue;
      seen.add(weight.id);
      const name = `${place}/${localName(weight)}`;
      let unique = name;
      for (let i = 2; placed.has(unique); i++) unique = `${name}#${i}`;
      placed.set(unique, weight);
    }
  }
  return placed;
}

/** The trainable weights of a model, each once. */
export function trainableWeights(model: LayersModel): LayerVariable[] {
  return [...new Map(model.trainableWeights.map((weight) => [weight.id, weight])).values()];
}

/** The variable behind a weight. */
export function variableOf(weight: LayerVariable): tf.Variable {
  return weight.read() as tf.Variable;
}

/**
 * The penalties of all layers, each layer's once: tfjs counts those of a layer that is applied twice
 * two times, and forgets those of recurrent cells.
 */
export function penalties(model: LayersModel): tf.Scalar[] {
  return walkLayers(model).flatMap((layer) => {
    const { layers, layer: wrapped, cell } = internals(layer);
    // Models and wrappers answer with the penalties of the layers inside them, which have their turn.
    if (layers || wrapped) return [];
    const owners = cell ? [layer, cell] : [layer];
    return owners.flatMap((owner) => owner.calculateLosses() as tf.Scalar[]);
  });
}
