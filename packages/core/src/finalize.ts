// From a model with transforms to a plain one.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel, LayerVariable } from '@tensorflow/tfjs-layers';
import { checkOptions, ThimbleError, UnsupportedError } from '@thimble/base';
import { internals, type Layer, localName, variablesOf } from './internals.ts';
import { chainsOf, hasCallTransforms } from './parametrization.ts';
import { originOf, PARAMETRIZED, splitConfig } from './parametrized-config.ts';
import { layerFromConfig } from './parametrized-layer.ts';
import { innerLayers, walkLayers } from './walk.ts';

/** A layer that `finalize` could not express with TensorFlow.js's own layers. */
export interface KeptLayer {
  name: string;
  className: string;
}

/** Options of {@link finalize}. */
export interface FinalizeOptions {
  /**
   * True takes call transforms away too: weights are baked as ever, what was done to activations (rounding) is
   * left out. Default false.
   */
  dropCallTransforms?: boolean;
}

/**
 * A plain tfjs-layers model with the same outputs at test time: every transform is baked into the weight
 * that it changes, and its own weights are gone. Works on Sequential and functional models with shared
 * layers, nested models, wrappers, several inputs and outputs. A composite layer becomes a nested model of its
 * plain parts. Layers of Thimble's own that do more than
 * transform weights stay in the model; {@link finalizeReport} lists them, and whoever loads the model
 * needs the package that defines them. Layers with call transforms (quantised activations) stay too, as they
 * are, unless `dropCallTransforms` says otherwise; the outputs are then those without them.
 *
 * The model given stays as it was and shares nothing with the new one: each can be disposed of. The new
 * model is not compiled, and a stateful recurrent layer starts from its initial state.
 *
 * @throws {UnsupportedError} when the model is not built yet.
 * @example
 * const plain = await finalize(model);
 * plain.predict(x); // equal to model.predict(x), with no Thimble left in the model
 */
export async function finalize(
  model: LayersModel,
  options: FinalizeOptions = {},
): Promise<LayersModel> {
  checkOptions('finalize', options, ['dropCallTransforms']);
  if (!(model.outputs?.length > 0)) {
    throw new UnsupportedError(
      `finalize: model "${model.name}" has no weights yet: give its first layer an inputShape, or add layers.`,
    );
  }
  return rebuilt(model, plainConfig(model, options), new Map());
}

/** A deep copy of a model's config in which decorated layers are what they were before. */
export function plainConfig(
  model: LayersModel,
  { dropCallTransforms = false }: FinalizeOptions = {},
): tf.serialization.ConfigDict {
  return withoutChains(model.getConfig(), dropCallTransforms) as tf.serialization.ConfigDict;
}

/**
 * A model from a plain config of `model`, with the weights of `model` as baked, or as given in `values`.
 * The config is used up.
 */
export function rebuilt(
  model: LayersModel,
  config: tf.serialization.ConfigDict,
  values: ReadonlyMap<LayerVariable, tf.Tensor>,
): LayersModel {
  const plain = layerFromConfig(model.getClassName(), config, {}, true) as LayersModel;
  tf.tidy(() => copyWeights(model, plain, values));
  reports.set(
    plain,
    walkLayers(plain)
      .map((layer) => ({ name: layer.name, className: layer.getClassName() }))
      .filter(({ className }) => className.startsWith('Thimble')),
  );
  return plain;
}

/** The layers of a model made by {@link finalize} that plain TensorFlow.js cannot express; often none. */
export function finalizeReport(plain: LayersModel): readonly KeptLayer[] {
  const report = reports.get(plain);
  if (!report) {
    throw new UnsupportedError(`finalizeReport: model "${plain.name}" was not made by finalize.`);
  }
  return report;
}

const reports = new WeakMap<LayersModel, KeptLayer[]>();

function withoutChains(value: unknown, dropCalls: boolean): unknown {
  if (Array.isArray(value)) return value.map((entry) => withoutChains(entry, dropCalls));
  if (value === null || typeof value !== 'object' || value.constructor !== Object) return value;
  const body = bodyOf(value);
  if (body) {
    return { ...value, className: 'Model', config: withoutChains(body.getConfig(), dropCalls) };
  }
  const copy = Object.fromEntries(
    Object.entries(value).map(([key, entry]) => [key, withoutChains(entry, dropCalls)]),
  );
  countFromOne(copy, expandedIn(value));
  if (copy.className !== PARAMETRIZED) {
    return { ...copy, ...plainForm(copy.className, copy.config as tf.serialization.ConfigDict) };
  }
  const { config, saved } = splitConfig(copy.config as tf.serialization.ConfigDict);
  const plain = plainForm(saved.className, config);
  if (!saved.calls || dropCalls) return { ...copy, className: saved.className, config, ...plain };
  if (!plain) return copy;
  throw new UnsupportedError(
    `finalize: layer "${config.name}" (${saved.className}) has call transforms (quantised activations), ` +
      'which stay with the layer, while its plain form is another layer. Finalize it first, then add them.',
  );
}

/** The names of the layers of a functional model's config that become nested models. */
function expandedIn(config: object): Set<unknown> {
  const { layers } = config as { layers?: { name?: string }[] };
  const entries = Array.isArray(layers) ? layers : [];
  return new Set(entries.filter((entry) => entry.name && bodyOf(entry)).map(({ name }) => name));
}

/** Applications of a nested model are numbered from 1, its own way from inputs to outputs being 0. */
function countFromOne(config: Record<string, unknown>, names: ReadonlySet<unknown>): void {
  if (names.size === 0) return;
  const visit = (value: unknown): void => {
    if (!Array.isArray(value)) return;
    if (names.has(value[0]) && typeof value[1] === 'number') value[1]++;
    else value.forEach(visit);
  };
  const { layers, outputLayers } = config as {
    layers: { inboundNodes: unknown }[];
  } & typeof config;
  visit(outputLayers);
  for (const { inboundNodes } of layers) visit(inboundNodes);
}

/** A plain layer: its class and config. */
interface PlainForm {
  className: string;
  config: tf.serialization.ConfigDict;
}

/**
 * What a layer of Thimble's own is among plain ones, where its class has a static function
 * `plainForm(config)` that says so: its class and config.
 */
function plainForm(
  className: unknown,
  config: tf.serialization.ConfigDict | undefined,
): PlainForm | undefined {
  const entry = tf.serialization.SerializationMap.getMap().classNameMap[className as string];
  const layerClass = entry?.[0] as unknown as
    | { plainForm?(config: tf.serialization.ConfigDict): PlainForm }
    | undefined;
  return config && layerClass?.plainForm?.(config);
}

/** The plain layers that a composite layer is made of, where `saved` is one; not where its calls are decorated. */
function bodyOf(saved: object): LayersModel | undefined {
  const { className, config } = saved as { className?: string; config?: object };
  if (className === PARAMETRIZED || !config) return undefined;
  const origin = originOf(config);
  return origin && internals(origin).body;
}

function copyWeights(from: Layer, to: Layer, values: ReadonlyMap<LayerVariable, tf.Tensor>): void {
  const originals = new Map(variablesOf(from).map((variable) => [localName(variable), variable]));
  // A layer with call transforms keeps its chains, and what is stored with them.
  const baked = hasCallTransforms(to) ? [] : chainsOf(from);
  const chains = new Map(baked.map((chain) => [chain.stored, chain]));
  const plain = internals(from).plainWeights?.();
  for (const target of variablesOf(to)) {
    if (plain) {
      (target.read() as tf.Variable).assign(plain[localName(target)]!);
      continue;
    }
    const original = originals.get(localName(target));
    if (!original) throw mismatch(from, target.originalName);
    const value = values.get(original) ?? chains.get(original)?.bake() ?? original.read();
    // Not `write`, which would apply the constraint of the stored weight.
    (target.read() as tf.Variable).assign(value);
  }
  const [inside, copies] = [innerLayers(from), innerLayers(to)];
  inside.forEach((part, i) => {
    const copy = copies[i];
    if (!copy) throw mismatch(from, part.name);
    copyWeights(part, copy, values);
  });
}

function mismatch(layer: Layer, name: string): ThimbleError {
  return new ThimbleError(
    `finalize: layer "${layer.name}" and its copy differ at "${name}"; a layer class whose fromConfig ` +
      'does not rebuild what getConfig describes cannot be finalized.',
  );
}
