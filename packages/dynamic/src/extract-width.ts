// A plain network of one width.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError } from '@thimble/base';
import { finalize } from '@thimble/core';
import { applySettings, checkWidth, setWidth } from './set-width.ts';
import {
  type Setting,
  settingsFor,
  slimmableLayers,
  type WidthGroup,
  widthGroups,
} from './slimmable-flow.ts';

/**
 * A plain tfjs-layers model of one width, with the same outputs and nothing of the other widths: what
 * `finalize` makes of the model at that width. The model given keeps its own width, and shares nothing with
 * the new one.
 *
 * With a record every layer has a width of its own, as {@link autoSlim} finds them; those that are not named
 * stay whole. Batch normalisation has no statistics for such a network: call `recalibrateBatchNorm`.
 *
 * @throws {OptionError} for a width that a layer does not have, and for different widths of layers whose
 *   outputs are added; {NoMatchError} without slimmable layers, and for a name that none of them has.
 * @example
 * const widths = [0.5, 1];
 * const model = tfl.sequential({ layers: [
 *   slimmableDense({ units: 8, widths, activation: 'relu', inputShape: [4] }),
 *   slimmableDense({ units: 2, widths }),
 * ] });
 * const half = await extractWidth(model, 0.5);
 * half.layers[0].units; // 4
 */
export function extractWidth(
  model: LayersModel,
  width: number | Readonly<Record<string, number>>,
): Promise<LayersModel> {
  const change =
    typeof width === 'number'
      ? () => setWidth(model, width)
      : () => applySettings(settingsFor(OWNER, model, widthsByName(model, width)));
  // `finalize` has read all of the model before it gives its promise.
  return atOtherWidth(model, change, () => finalize(model));
}

const OWNER = 'extractWidth';

/** The width of every group, from the names of layers. */
function widthsByName(
  model: LayersModel,
  widths: Readonly<Record<string, number>>,
): (group: WidthGroup) => number {
  const groups = widthGroups(OWNER, model);
  const found = new Map<WidthGroup, number>();
  for (const [name, width] of Object.entries(widths)) {
    const group = groups.find(({ layers }) => layers.some((layer) => layer.name === name));
    const layer = group?.layers.find((each) => each.name === name);
    if (!group || !layer) {
      const names = groups.flatMap(({ layers }) => layers.map((each) => each.name));
      throw new NoMatchError(
        `${OWNER}: "${name}" is no layer whose channels can be narrowed. These are: ${names.join(', ')}.`,
      );
    }
    checkWidth(OWNER, layer, width);
    if ((found.get(group) ?? width) !== width) {
      throw new OptionError(
        `${OWNER}: layer "${name}" has width ${width}, but its output is added to that of a layer with ` +
          `${found.get(group)}: give both the same.`,
      );
    }
    found.set(group, width);
  }
  return (group) => found.get(group) ?? 1;
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
  const layers = slimmableLayers(OWNER, model);
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
