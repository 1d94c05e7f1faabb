// A plain model in which some layers are chains of others.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { NoMatchError, UnsupportedError } from '@thimble/base';
import { plainConfig } from './finalize.ts';
import { internals, type Layer, localName, variablesOf } from './internals.ts';
import { layerFromConfig } from './parametrized-layer.ts';
import { innerLayers } from './walk.ts';

/** A layer to put in: new and not built, with the values of its weights in the order of `getWeights`. */
export interface NewLayer {
  layer: Layer;
  weights: readonly tf.Tensor[];
}

interface LayerEntry {
  name?: string;
  className: string;
  config: { [key: string]: unknown };
  /** Absent in a Sequential. */
  inboundNodes?: unknown[][];
}

/**
 * A copy of a plain model (see `finalize`) in which layers with one input and one output are replaced by chains
 * of new ones: what the layer got goes to the first, what the last gives goes where the layer's output went. The
 * last one takes over the layer's name. Works in nested models, and for layers that are applied several times.
 * The new model is not compiled and shares nothing with the given one.
 *
 * @throws {NoMatchError} for a layer that is not one of the model's, or is inside a wrapper.
 * @example
 * const units = 10;
 * const [, , last] = model.layers;
 * const chain = [
 *   { layer: tfl.layers.dense({ units: 2, name: 'narrow' }), weights: [tf.ones([8, 2]), tf.zeros([2])] },
 *   { layer: tfl.layers.dense({ units }), weights: [tf.ones([2, units]), tf.zeros([units])] },
 * ];
 * const smaller = replaceLayers(model, new Map([[last, chain]]));
 */
export function replaceLayers(
  model: LayersModel,
  chains: ReadonlyMap<Layer, readonly NewLayer[]>,
): LayersModel {
  const config = plainConfig(model);
  const left = new Set(chains.keys());
  const values = new Map<string, readonly tf.Tensor[]>();
  splice(model, config as never, chains, left, values);
  for (const { name } of left) {
    throw new NoMatchError(
      `replaceLayers: "${name}" is no layer of "${model.name}", or is inside a wrapper.`,
    );
  }
  const made = layerFromConfig(model.getClassName(), config, {}, true) as LayersModel;
  tf.tidy(() => copyByName(model, made, values));
  return made;
}

/** Puts chains into the config of a model and of the models inside it. */
function splice(
  model: LayersModel,
  config: { layers: LayerEntry[] },
  chains: ReadonlyMap<Layer, readonly NewLayer[]>,
  left: Set<Layer>,
  values: Map<string, readonly tf.Tensor[]>,
): void {
  const layers = new Map(model.layers.map((layer) => [layer.name, layer]));
  config.layers = config.layers.flatMap((entry) => {
    const name = entry.name ?? (entry.config.name as string);
    const layer = layers.get(name)!;
    if (internals(layer).layers)
      splice(layer as LayersModel, entry.config as never, chains, left, values);
    const chain = chains.get(layer);
    if (!chain) return [entry];
    left.delete(layer);
    return chain.map(({ layer: part, weights }, i) => {
      const own = i === chain.length - 1 ? name : part.name;
      if (own !== name && layers.has(own)) {
        throw new UnsupportedError(
          `replaceLayers: the new layer "${own}" has the name of one that is there already.`,
        );
      }
      values.set(own, weights);
      return chained(entry, part, own, i === 0 ? undefined : chain[i - 1]!.layer.name);
    });
  });
}

/** The entry of one layer of a chain in the place of `entry`. */
function chained(
  entry: LayerEntry,
  part: Layer,
  name: string,
  before: string | undefined,
): LayerEntry {
  const config: LayerEntry['config'] = { ...part.getConfig(), name };
  if (before === undefined && entry.config.batchInputShape) {
    config.batchInputShape = entry.config.batchInputShape;
  }
  const made: LayerEntry = { className: part.getClassName(), config };
  if (!entry.inboundNodes) return made;
  const inboundNodes =
    before === undefined
      ? entry.inboundNodes
      : entry.inboundNodes.map((_, application) => [[before, application, 0, {}]]);
  return { ...made, name, inboundNodes };
}

function copyByName(
  from: Layer,
  to: Layer,
  values: ReadonlyMap<string, readonly tf.Tensor[]>,
): void {
  const sources = innerLayers(from);
  const byName = new Map(sources.map((source) => [source.name, source]));
  for (const [i, copy] of innerLayers(to).entries()) {
    const given = values.get(copy.name);
    if (given && internals(to).layers) {
      copy.setWeights([...given]);
      continue;
    }
    // Inside a wrapper nothing was taken out; names of cells may differ.
    const source = internals(to).layers ? byName.get(copy.name)! : sources[i]!;
    const originals = new Map(variablesOf(source).map((each) => [localName(each), each]));
    for (const variable of variablesOf(copy)) {
      (variable.read() as tf.Variable).assign(originals.get(localName(variable))!.read());
    }
    copyByName(source, copy, values);
  }
}
