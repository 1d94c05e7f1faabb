// Neurons that pruning has cut off: nothing comes in, or nothing goes out.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { sizeOf } from '@thimble/base';
import {
  type ChannelGroup,
  type ChannelMember,
  channelGroups,
  linearPart,
  lower,
  trace,
  withLayerOutputs,
  withoutChannels,
} from '@thimble/core';
import { keptOutputs } from './compensation.ts';
import { inputOf, type Reader, readersOf } from './contributions.ts';

/** The dead channels of a group. */
export interface DeadNeurons {
  /** Name of the group of channels, as `channelGroups` has it. */
  group: string;
  /** Channels that nothing reads: all weights that lead on from them are 0. */
  unread: number[];
  /** Channels that nothing feeds: all weights that lead to them are 0, so they are constant. */
  unfed: number[];
}

/**
 * The neurons (units, filters) that are cut off because all weights into them, or all weights out of them,
 * are 0. Groups without any are left out, and so are channels that cannot be removed.
 *
 * @example
 * await prune(model, { granularity: 'neuron', sparsity: 0.5 });
 * deadNeurons(model); // [{ group: 'dense_Dense1', unread: [], unfed: [0, 3, 4, 6] }] or the like
 */
export function deadNeurons(model: LayersModel): DeadNeurons[] {
  const { weights } = lower(model);
  return channelGroups(model)
    .filter(({ fixed }) => fixed === undefined)
    .map((group) => {
      const alive = (role: ChannelMember['role']) => {
        const found = new Uint8Array(group.size);
        for (const member of group.members) {
          const { encoding, data } = weights[`${member.layer}/${member.weight}`]!;
          const isKernel = encoding.shape.length > 1;
          if (member.role === role && isKernel) markAlive(found, member, encoding.shape, data!);
        }
        return found;
      };
      const [fed, read] = [alive('out'), alive('in')];
      const all = [...read.keys()];
      return {
        group: group.name,
        unread: all.filter((channel) => !read[channel]),
        unfed: all.filter((channel) => read[channel] && !fed[channel]),
      };
    })
    .filter(({ unread, unfed }) => unread.length + unfed.length > 0);
}

function markAlive(
  alive: Uint8Array,
  { axis, channels }: ChannelMember,
  shape: readonly number[],
  values: Float32Array,
): void {
  const length = shape[axis]!;
  const inner = sizeOf(shape.slice(axis + 1));
  for (let i = 0; i < values.length; i++) {
    if (values[i] === 0) continue;
    const channel = channels[Math.floor(i / inner) % length]!;
    if (channel >= 0) alive[channel] = 1;
  }
}

/**
 * A plain, smaller model without the dead neurons, with the same outputs. What a neuron that nothing feeds
 * still gives, a constant, goes into the biases of the layers that read it. It stays where that is not
 * exact: the reader has no bias, pads the borders with zeros, or is recurrent. One neuron of a group always
 * stays. Removing some may cut off others; this goes on until there are none.
 *
 * The model given stays as it was.
 *
 * Paper: Han, Pool, Tran, Dally, "Learning both Weights and Connections for Efficient Neural Networks",
 * 2015, section 3.5.
 *
 * @example
 * await prune(model, { granularity: 'neuron', sparsity: 0.5 });
 * const smaller = await removeDeadNeurons(model);
 * smaller.countParams() < model.countParams(); // true
 */
export async function removeDeadNeurons(model: LayersModel): Promise<LayersModel> {
  let current = await withoutChannels(model, {});
  for (;;) {
    const removed = removable(current);
    if (Object.keys(removed).length === 0) return current;
    const smaller = await withoutChannels(current, removed);
    foldConstants(current, smaller, removed);
    current.dispose();
    current = smaller;
  }
}

/** Numbers of channels that can go without a change of the outputs, by group. */
function removable(model: LayersModel): Record<string, number[]> {
  const groups = new Map(channelGroups(model).map((group) => [group.name, group]));
  const constants = constantsOf(model);
  const entries = deadNeurons(model).map(({ group: name, unread, unfed }) => {
    const group = groups.get(name)!;
    const gone = [...unread, ...unfed.filter((channel) => constants.exact(group, channel))];
    return [name, gone.slice(0, group.size - 1)] as const;
  });
  return Object.fromEntries(entries.filter(([, gone]) => gone.length > 0));
}

/** What channels that do not depend on the input add to the answers of their readers. */
interface Constants {
  /** True where it is the same at every position and there is a bias to take it up. */
  exact(group: ChannelGroup, channel: number): boolean;
  /** For each reader of the group, by its path, the sum over the channels: one number per answer. */
  shifts(group: ChannelGroup, channels: readonly number[]): Map<string, Float32Array>;
}

const SAME = 1e-6;

function constantsOf(model: LayersModel): Constants {
  const traced = trace(model);
  const answers = ({ layer, channels }: Reader, chosen: ReadonlySet<number>): tf.Tensor[] =>
    tf.tidy(() => {
      const read: tf.Tensor[] = [];
      const watch = (_: unknown, __: unknown, ___: unknown, input: tf.Tensor): undefined => {
        read.push(tf.keep(tf.clone(input)));
      };
      const inputs = model.inputs.map(({ shape }) => tf.zeros(shape.map((size) => size ?? 1)));
      withLayerOutputs([layer], watch, () => model.predict(inputs));
      const found = read.map((input) => {
        const part = linearPart(
          layer,
          inputOf(input, channels, (c) => chosen.has(c)),
        );
        return tf.reshape(part, [-1, part.shape.at(-1)!]);
      });
      tf.dispose(read);
      return found;
    });
  return {
    exact(group, channel) {
      const readers = readersOf(group, traced);
      if (readers.length < group.consumers.length) return false;
      return readers.every((reader) => {
        const found = answers(reader, new Set([channel]));
        const worst = tf.tidy(() =>
          Math.max(
            ...found.map((part) => tf.max(tf.sub(tf.max(part, 0), tf.min(part, 0))).dataSync()[0]!),
          ),
        );
        const some = tf.tidy(() =>
          Math.max(...found.map((part) => tf.max(tf.abs(part)).dataSync()[0]!)),
        );
        tf.dispose(found);
        const { bias } = reader.layer as unknown as { bias?: unknown };
        return worst <= SAME * Math.max(1, some) && (some === 0 || bias != null);
      });
    },
    shifts(group, channels) {
      return new Map(
        readersOf(group, traced).map((reader) => {
          const [first, ...others] = answers(reader, new Set(channels));
          const shift = tf.tidy(() => Float32Array.from(tf.mean(first!, 0).dataSync()));
          tf.dispose([first!, ...others]);
          return [reader.path, shift];
        }),
      );
    },
  };
}

/** Adds what the removed channels gave to the biases of the layers that read them. */
function foldConstants(
  before: LayersModel,
  after: LayersModel,
  removed: Readonly<Record<string, readonly number[]>>,
): void {
  const groups = channelGroups(before);
  const constants = constantsOf(before);
  const { layers } = trace(after);
  for (const group of groups) {
    const gone = removed[group.name] ?? [];
    if (gone.length === 0) continue;
    for (const [path, shift] of constants.shifts(group, gone)) {
      if (shift.every((value) => value === 0)) continue;
      const { bias } = layers.get(path) as unknown as { bias: { read(): tf.Variable } };
      const kept = Float32Array.from(keptOutputs(path, groups, removed), (o) => shift[o]!);
      tf.tidy(() => bias.read().assign(tf.add(bias.read(), tf.tensor1d(kept))));
    }
  }
}
