// All layers of a model, however deep they sit.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { internals, type Layer } from './internals.ts';

/**
 * The layers directly inside a layer: those of a model or of a composite layer, the wrapped one of TimeDistributed, the forward
 * and the backward one of Bidirectional, the cells of a recurrent layer that has several. Empty for all others, recurrent
 * layers with one cell included.
 */
export function innerLayers(layer: Layer): Layer[] {
  const { layers, parts, layer: wrapped, forwardLayer, backwardLayer } = internals(layer);
  if (Array.isArray(layers)) return layers;
  const several = parts ?? stackedCells(layer);
  if (several) return several;
  if (forwardLayer && backwardLayer) return [forwardLayer, backwardLayer];
  return wrapped ? [wrapped] : [];
}

/**
 * The cells of a recurrent layer that was given several; undefined for all others.
 *
 * @example
 * for (const cell of stackedCells(layer) ?? []) console.log(cell.name);
 */
export function stackedCells(layer: Layer): Layer[] | undefined {
  const { cell } = internals(layer);
  return cell && internals(cell).cells;
}

/**
 * Every layer of a model, nested models and wrappers before the layers inside them, each once, however
 * often it is shared. The model itself is left out, and the one cell of a recurrent layer, which stands for it;
 * cells that are stacked come after theirs. Of a single layer: itself and the layers inside it.
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
