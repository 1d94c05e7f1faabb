// A plain network of one width.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { finalize } from '@thimble/core';
import { applySettings, setWidth } from './set-width.ts';
import { type Setting, slimmableLayers } from './slimmable-flow.ts';

/**
 * A plain tfjs-layers model of one width, with the same outputs and nothing of the other widths: what
 * `finalize` makes of the model at that width. The model given keeps its own width, and shares nothing with
 * the new one.
 *
 * @throws {OptionError} for a width that a layer does not have; {NoMatchError} without slimmable layers.
 * @example
 * const widths = [0.5, 1];
 * const model = tfl.sequential({ layers: [
 *   slimmableDense({ units: 8, widths, activation: 'relu', inputShape: [4] }),
 *   slimmableDense({ units: 2, widths }),
 * ] });
 * const half = await extractWidth(model, 0.5);
 * half.layers[0].units; // 4
 */
export function extractWidth(model: LayersModel, width: number): Promise<LayersModel> {
  return atOtherWidth(
    model,
    () => setWidth(model, width),
    () => finalize(model),
  );
}

/** Runs `body` at another width, and goes back to the present one; `body` reads the model at once. */
export function atOtherWidth<T>(model: LayersModel, change: () => void, body: () => T): T {
  const before = presentSettings(model);
  try {
    change();
    return body();
  } finally {
    before();
  }
}

/** Notes the widths of all layers; calling what it returns goes back to them. */
export function presentSettings(model: LayersModel): () => void {
  const layers = slimmableLayers('extractWidth', model);
  const settings: Setting[] = layers.map((layer) => ({
    layer,
    width: layer.slim.width,
    active: layer.slim.active!,
  }));
  const isNew = settings.some(({ active }) => !active);
  return () => {
    if (isNew) setWidth(model, 1);
    else applySettings(settings);
  };
}
