// All layers of a model, however deep they sit.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { internals, type Layer } from './internals.ts';

/**
 * The layers directly inside a layer: those of a model or of a composite layer, the wrapped one of TimeDistributed, the forward
 * and the backward one of Bidirectional. Empty for all others, recurrent layers included.
 */
export function innerLayers(layer: Layer): Layer[] {
  const { layers, parts, layer: wrapped, forwardLayer, backwardLayer } = internals(layer);
  if (Array.isArray(layers)) return layers;
  if (parts) return parts;
  if (forwardLayer && backwardLayer) return [forwardLayer, backwardLayer];
  return wrapped ? [wrapped] : [];
}

/**
 * Every layer of a model, nested models and wrappers before the layers inside them, each once, however
 * often it is shared. The model itself and the cells of recurrent layers are left out: a recurrent layer
 * stands for its cell. Of a single layer: itself and the layers inside it.
 *
 * @example
 * for (const layer of walkLayers(model)) console.log(layer.name);
 */
export function walkLayers(model: LayersModel | Layer): Layer[] {
  const found = new Set<Layer>();
  const visit = (layer: Layer) => {
    if (found.has(layer)) return;
    found.add(layer);
    innerLayers(layer).forEach(visit);
  };
  const { layers, parts } = internals(model);
  for (const layer of (parts ? undefined : layers) ?? [model]) visit(layer);
  return [...found];
}

/** The layers directly inside a layer, and the cells inside its cell. */
export function partsOf(layer: Layer): Layer[] {
  const { cell } = internals(layer);
  return [...innerLayers(layer), ...((cell && internals(cell).cells) ?? [])];
}
