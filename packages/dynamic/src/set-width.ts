// Switches the width of a model.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { OptionError } from '@thimble/base';
import { walkLayers } from '@thimble/core';
import { isSlimmable, type SlimmableLayer } from './slimmable.ts';
import { ThimbleSlimmableBatchNormalization } from './slimmable-batch-normalization.ts';
import { type Setting, settingsFor, slimmableLayers } from './slimmable-flow.ts';
import { hasWidth, listed, type Widths } from './slimmable-widths.ts';

/**
 * Sets the width of every slimmable layer of a model: with it, predictions, training and the multiply-accumulates
 * of `summarize` are those of the narrower network, which really computes less. The last slimmable layer before an
 * output keeps all its channels. Weights stay as they are, and `summarize` counts all of them, as a file keeps all;
 * `extractWidth` leaves the rest out. The width is saved with the model.
 *
 * @throws {OptionError} for a width that a layer does not have, with those that it has.
 * @throws {NoMatchError} for a model without slimmable layers.
 * @throws {UnsupportedError} naming a layer between slimmable ones that cannot take fewer channels.
 * @example
 * const widths = [0.25, 0.5, 1];
 * const model = tfl.sequential({ layers: [
 *   slimmableConv2d({ filters: 8, kernelSize: 3, widths, inputShape: [28, 28, 1] }),
 *   slimmableBatchNormalization({ widths }),
 *   tfl.layers.reLU(),
 *   tfl.layers.flatten(),
 *   slimmableDense({ units: 10, widths, activation: 'softmax' }),
 * ] });
 * setWidth(model, 0.25);
 * const macs = summarize(model).total.macs;
 */
export function setWidth(model: LayersModel, width: number): void {
  const owner = 'setWidth';
  for (const layer of slimmableLayers(owner, model)) checkWidth(owner, layer, width);
  applySettings(settingsFor(owner, model, () => width));
}

/**
 * The width that {@link setWidth} has given a model; 1 for one that is new.
 *
 * @throws {NoMatchError} for a model without slimmable layers.
 * @example
 * const model = tfl.sequential({ layers: [
 *   slimmableDense({ units: 8, widths: { min: 0.25 }, inputShape: [4] }),
 *   slimmableDense({ units: 2, widths: { min: 0.25 } }),
 * ] });
 * setWidth(model, 0.3);
 * widthOf(model); // 0.3
 */
export function widthOf(model: LayersModel): number {
  return Math.min(...slimmableLayers('widthOf', model).map(({ slim }) => slim.width));
}

/**
 * The widths that {@link setWidth} can give a model; undefined for one without slimmable layers.
 *
 * @example
 * const layer = slimmableDense({ units: 8, widths: [0.5, 1], inputShape: [4] });
 * widthsOf(tfl.sequential({ layers: [layer] })); // [0.5, 1]
 */
export function widthsOf(model: LayersModel): Widths | undefined {
  return walkLayers(model).find(isSlimmable)?.slim.widths;
}

/** Throws for a width that a layer does not have. */
export function checkWidth(owner: string, { name, slim }: SlimmableLayer, width: number): void {
  if (hasWidth(slim.widths, width)) return;
  throw new OptionError(
    `${owner}: layer "${name}" cannot have width ${width}. Its widths: ${listed(slim.widths)}.`,
  );
}

/** Changes all layers, or none when one of them cannot be changed. */
export function applySettings(settings: readonly Setting[]): void {
  for (const { layer, width, active } of settings) {
    normalizationOf(layer)?.checkActive(width, active);
  }
  for (const { layer, width, active } of settings) {
    const normalization = normalizationOf(layer);
    if (normalization) normalization.activate(width, active);
    else layer.slim.set(width, active);
  }
}

function normalizationOf(layer: SlimmableLayer): ThimbleSlimmableBatchNormalization | undefined {
  return layer instanceof ThimbleSlimmableBatchNormalization ? layer : undefined;
}
