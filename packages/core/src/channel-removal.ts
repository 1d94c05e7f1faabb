// Models without some of their channels.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel, LayerVariable } from '@tensorflow/tfjs-layers';
import { NoMatchError, OptionError, sizeOf, UnsupportedError } from '@thimble/base';
import type { SizedOption, WeightAxis } from './channel-flow.ts';
import {
  type ChannelGroup,
  type FollowedModel,
  followChannels,
  groupsOf,
} from './channel-groups.ts';
import { plainConfig, rebuilt } from './finalize.ts';
import { internals, type Layer } from './internals.ts';
import { parametrizedWeights } from './parametrize.ts';

/** The channels to remove: numbers of channels by the name of their group. */
export type RemovedChannels =
  | Readonly<Record<string, Iterable<number>>>
  | ReadonlyMap<string, Iterable<number>>;

/**
 * A plain, smaller model without the channels: its weights are the slices that stay, its outputs those of
 * {@link withChannelsZeroed}. Transforms are baked as {@link finalize} does it; `finalizeReport` works on
 * the result. The model given stays as it was and shares nothing with the new one, which is not compiled.
 *
 * @param removed Numbers of channels by the name of their group, as {@link channelGroups} lists them.
 * @throws {NoMatchError} for a group that the model does not have.
 * @throws {UnsupportedError} for channels that cannot be removed, with the reason; and when the model is
 *   not built yet.
 * @throws {OptionError} for a number that the group does not have, and when no channel of it would stay.
 * @example
 * const [first] = channelGroups(model).filter(({ fixed }) => !fixed);
 * const smaller = await withoutChannels(model, { [first.name]: [0, 3] });
 * console.log(model.countParams(), smaller.countParams());
 */
export async function withoutChannels(
  model: LayersModel,
  removed: RemovedChannels,
): Promise<LayersModel> {
  const followed = followChannels(model);
  const isRemoved = removal('withoutChannels', model, followed, removed);
  const config = plainConfig(model);
  resize(model, config, followed.flow.sizes, isRemoved);
  return withWeights(model, config, followed, isRemoved, () => true, slice);
}

/**
 * A plain copy of the same size in which the channels have no effect: what makes them (kernels, biases,
 * embeddings) is zero, and so is every slice of a kernel that reads them. What lies between, such as batch
 * normalisation, is left as it was. Outputs equal those of {@link withoutChannels} up to rounding.
 *
 * @param removed As for {@link withoutChannels}, which throws the same errors.
 * @example
 * const [first] = channelGroups(model).filter(({ fixed }) => !fixed);
 * const weakened = await withChannelsZeroed(model, { [first.name]: [0, 3] });
 */
export async function withChannelsZeroed(
  model: LayersModel,
  removed: RemovedChannels,
): Promise<LayersModel> {
  const followed = followChannels(model);
  const isRemoved = removal('withChannelsZeroed', model, followed, removed);
  const config = plainConfig(model);
  return withWeights(model, config, followed, isRemoved, ({ role }) => role !== 'through', zero);
}

type IsRemoved = (id: number) => boolean;

/** Checks what is asked for, and tells of each id whether its channel goes. */
function removal(
  owner: string,
  model: LayersModel,
  followed: FollowedModel,
  removed: RemovedChannels,
): IsRemoved {
  const groups = new Map(groupsOf(followed).map((group) => [group.name, group]));
  const gone = new Map<string, Set<number>>();
  const asked: Iterable<[string, Iterable<number>]> =
    removed instanceof Map ? removed : Object.entries(removed);
  for (const [name, numbers] of asked) {
    const group = groups.get(name);
    if (!group) {
      throw new NoMatchError(
        `${owner}: model "${model.name}" has no group of channels "${name}". ` +
          `Its groups: ${[...groups.keys()].join(', ') || 'none'}.`,
      );
    }
    const chosen = new Set(numbers);
    checkNumbers(owner, group, chosen);
    gone.set(name, chosen);
  }
  const { flow, places } = followed;
  return (id) => {
    const place = places.get(flow.channels.find(id));
    return place !== undefined && gone.get(place.group.name)?.has(place.number) === true;
  };
}

function checkNumbers(
  owner: string,
  { name, size, fixed }: ChannelGroup,
  chosen: Set<number>,
): void {
  const bad = [...chosen].find(
    (number) => !(Number.isInteger(number) && number >= 0 && number < size),
  );
  if (bad !== undefined) {
    throw new OptionError(
      `${owner}: group "${name}" has channels 0 to ${size - 1}, and none with number ${bad}.`,
    );
  }
  if (chosen.size > 0 && fixed !== undefined) {
    throw new UnsupportedError(
      `${owner}: the channels of "${name}" must stay: ${fixed}. Leave this group out; ` +
        'channelGroups lists those without `fixed`.',
    );
  }
  if (chosen.size === size) {
    throw new OptionError(
      `${owner}: all ${size} channels of "${name}" would go. Keep at least one of them.`,
    );
  }
}

/** Writes the numbers of channels that stay into the configs of the layers. */
function resize(
  model: LayersModel,
  config: tf.serialization.ConfigDict,
  sizes: readonly SizedOption[],
  isRemoved: IsRemoved,
): void {
  const configs = configsOf(model, config);
  for (const { layer, option, ids } of sizes) {
    const count = ids.filter((id) => !isRemoved(id)).length;
    if (count === ids.length) continue;
    for (const own of configs.get(layer) ?? []) {
      const value = own[option];
      if (value === undefined) continue; // most layers were given no input shape
      own[option] = Array.isArray(value) ? [...value.slice(0, -1), count] : count;
    }
  }
}

/** The configs of every layer; one that several models inside have in common has several. */
function configsOf(
  model: LayersModel,
  config: tf.serialization.ConfigDict,
): Map<Layer, tf.serialization.ConfigDict[]> {
  const found = new Map<Layer, tf.serialization.ConfigDict[]>();
  const add = (layer: Layer, own: tf.serialization.ConfigDict) => {
    found.set(layer, [...(found.get(layer) ?? []), own]);
  };
  const visit = (layer: Layer, own: tf.serialization.ConfigDict) => {
    add(layer, own);
    const { layers, layer: wrapped, forwardLayer } = internals(layer);
    if (layers) {
      const entries = own.layers as { config: tf.serialization.ConfigDict }[];
      layers.forEach((inner, i) => {
        visit(inner, entries[i]!.config);
      });
      // A Sequential makes its input layer itself, from the shape that its first layer has.
      for (const { sourceLayer } of (layer as LayersModel).inputs) {
        if (!layers.includes(sourceLayer)) add(sourceLayer, entries[0]!.config);
      }
    } else if (wrapped) {
      const pattern = (own.layer as { config: tf.serialization.ConfigDict }).config;
      // The two layers of a Bidirectional are made from the pattern, and go by the wrapper's name.
      if (forwardLayer) add(layer, pattern);
      else visit(wrapped, pattern);
    }
  };
  visit(model, config);
  return found;
}

type Change = (values: Float32Array, shape: number[], axis: number, gone: boolean[]) => Changed;

interface Changed {
  values: Float32Array;
  shape: number[];
}

/** Builds the model from the config, its weights changed along the axes that have removed channels. */
async function withWeights(
  model: LayersModel,
  config: tf.serialization.ConfigDict,
  { traced, flow }: FollowedModel,
  isRemoved: IsRemoved,
  matters: (axis: WeightAxis) => boolean,
  change: Change,
): Promise<LayersModel> {
  const chains = new Map(parametrizedWeights(model).map((weight) => [weight.variable, weight]));
  const changed = new Map<LayerVariable, Changed>();
  for (const entry of flow.axes.values()) {
    if (!matters(entry)) continue;
    const gone = Array.from(entry.ids, isRemoved);
    if (!gone.includes(true)) continue;
    const weight = traced.variables.get(entry.key)!;
    let before = changed.get(weight);
    if (!before) {
      const stored = weight.read() as tf.Variable;
      const baked = chains.get(stored)?.bake();
      const values = (await (baked ?? stored).data()) as Float32Array;
      baked?.dispose();
      before = { values: values.slice(), shape: stored.shape };
    }
    changed.set(weight, change(before.values, before.shape, entry.axis, gone));
  }
  const values = new Map(
    [...changed].map(([weight, { values, shape }]) => [weight, tf.tensor(values, shape)]),
  );
  try {
    return rebuilt(model, config, values);
  } finally {
    for (const tensor of values.values()) tensor.dispose();
  }
}

const slice: Change = (values, shape, axis, gone) => {
  const kept = gone.flatMap((isGone, i) => (isGone ? [] : [i]));
  const [outer, length, inner] = [
    sizeOf(shape.slice(0, axis)),
    shape[axis]!,
    sizeOf(shape.slice(axis + 1)),
  ];
  const smaller = new Float32Array(outer * kept.length * inner);
  let at = 0;
  for (let block = 0; block < outer; block++) {
    for (const index of kept) {
      const start = (block * length + index) * inner;
      for (let i = start; i < start + inner; i++) smaller[at++] = values[i]!;
    }
  }
  return { values: smaller, shape: shape.with(axis, kept.length) };
};

const zero: Change = (values, shape, axis, gone) => {
  const length = shape[axis]!;
  const inner = sizeOf(shape.slice(axis + 1));
  for (let start = 0, row = 0; start < values.length; start += inner, row++) {
    if (gone[row % length]) values.fill(0, start, start + inner);
  }
  return { values, shape };
};
