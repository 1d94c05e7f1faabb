// Neurons that pruning has cut off: nothing comes in, or nothing goes out.
import * as tf from '@tensorflow/tfjs-core';
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { sizeOf, UnsupportedError } from '@thimble/base';
import {
  type ChannelGroup,
  type ChannelMember,
  channelGroups,
  linearPart,
  lower,
  readValues,
  trace,
  walkLayers,
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
 * are 0. Groups without any are left out, and so are channels that cannot be removed. Channels that something
 * else is added to or multiplied with are fed by that.
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
      if (group.mixed) fed.fill(1);
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
 * exact: the reader has no bias, pads the borders with zeros, is recurrent, or is applied to several values.
 * Where sizes of the inputs are open, what is constant is seen at two of them, 32 and 64. One neuron of a group
 * always stays. Removing some may cut off others; this goes on until there are none.
 *
 * The model given stays as it was.
 *
 * Paper: Han, Pool, Tran, Dally, "Learning both Weights and Connections for Efficient Neural Networks",
 * 2015, section 3.5.
 *
 * @throws {UnsupportedError} when the model is not built yet, or does not take these sizes.
 * @example
 * await prune(model, { granularity: 'neuron', sparsity: 0.5 });
 * const smaller = await removeDeadNeurons(model);
 * smaller.countParams() < model.countParams(); // true
 */
export async function removeDeadNeurons(model: LayersModel): Promise<LayersModel> {
  let current = await withoutChannels(model, {});
  try {
    for (;;) {
      const { removed, shifts } = removable(current);
      if (Object.keys(removed).length === 0) return current;
      const smaller = await withoutChannels(current, removed);
      foldConstants(current, smaller, removed, shifts);
      current.dispose();
      current = smaller;
    }
  } catch (error) {
    current.dispose();
    throw error;
  }
}

/** What a reader's answers lose with removed channels: its path, and one number per answer. */
type Shift = readonly [path: string, shift: Float32Array];

interface Removable {
  /** Numbers of channels that can go, by group. */
  removed: Record<string, number[]>;
  /** What the readers then miss, which is the same for all inputs. */
  shifts: Shift[];
}

/** Finds what can go without a change of the outputs. */
function removable(model: LayersModel): Removable {
  const groups = new Map(channelGroups(model).map((group) => [group.name, group]));
  const dead = deadNeurons(model);
  const found: Removable = { removed: {}, shifts: [] };
  const look = ({ exact, shifts }: Constants) => {
    for (const { group: name, unread, unfed } of dead) {
      const group = groups.get(name)!;
      const constant = unfed.filter((channel) => exact(group, channel));
      const gone = [...unread, ...constant].slice(0, group.size - 1);
      if (gone.length > 0) found.removed[name] = gone;
      const missed = gone.slice(unread.length);
      if (missed.length > 0) found.shifts.push(...shifts(group, missed));
    }
  };
  const unfed = dead.filter((each) => each.unfed.length > 0);
  withConstants(
    model,
    unfed.map(({ group }) => groups.get(group)!),
    look,
  );
  return found;
}

/** What channels that do not depend on the input add to the answers of their readers. */
interface Constants {
  /** True where it is the same at every position and application, and there is a bias to take it up. */
  exact(group: ChannelGroup, channel: number): boolean;
  /** For each reader of the group the sum over the channels. */
  shifts(group: ChannelGroup, channels: readonly number[]): Shift[];
}

const SAME = 1e-6;

/** Sizes that open axes of the inputs get. */
const OPEN = [32, 64];

/** Runs the model once, or once for each size, and shows what it tells of these groups. */
function withConstants(
  model: LayersModel,
  groups: readonly ChannelGroup[],
  use: (constants: Constants) => void,
): void {
  const traced = trace(model);
  const readers = new Map(groups.map((group) => [group, readersOf(group, traced)]));
  const read = readsOf(model, [...readers.values()].flat());
  /** What the readers answer to the chosen channels, position by position: [positions, answers]. */
  const answers = ({ layer, channels }: Reader, chosen: ReadonlySet<number>): tf.Tensor =>
    tf.tidy(() => {
      const parts = read.get(layer)!.map((input) => {
        const part = linearPart(
          layer,
          inputOf(input, channels, (c) => chosen.has(c)),
        );
        return tf.reshape(part, [-1, part.shape.at(-1)!]);
      });
      return tf.concat(parts, 0);
    });
  const isExact = (reader: Reader, channel: number): boolean => {
    const found = answers(reader, new Set([channel]));
    const [spread, some] = tf.tidy(() => [
      tf.max(tf.sub(tf.max(found, 0), tf.min(found, 0))).dataSync()[0]!,
      tf.max(tf.abs(found)).dataSync()[0]!,
    ]);
    found.dispose();
    const { bias } = reader.layer as unknown as { bias?: unknown };
    return spread! <= SAME * Math.max(1, some!) && (some === 0 || bias != null);
  };
  try {
    use({
      exact(group, channel) {
        const own = readers.get(group)!;
        return (
          own.length === group.consumers.length && own.every((reader) => isExact(reader, channel))
        );
      },
      shifts: (group, channels) =>
        readers
          .get(group)!
          .map((reader) => [
            reader.path,
            readValues(() => tf.mean(answers(reader, new Set(channels)), 0)),
          ]),
    });
  } finally {
    tf.dispose([...read.values()].flat());
  }
}

/** What the readers get when nothing but zeros comes into the model, at every application. */
function readsOf(
  model: LayersModel,
  readers: readonly Reader[],
): Map<Reader['layer'], tf.Tensor[]> {
  const reads = new Map(readers.map(({ layer }) => [layer, [] as tf.Tensor[]]));
  if (readers.length === 0) return reads;
  const watch = (
    layer: Reader['layer'],
    { shape }: tf.Tensor,
    _: unknown,
    input: tf.Tensor,
  ): undefined => {
    // Not every backend refuses a kernel that is larger than its input.
    if (shape.some((size) => size < 1)) throw new Error(`"${layer.name}" would give [${shape}]`);
    reads.get(layer)?.push(tf.keep(tf.clone(input)));
  };
  const isOpen = model.inputs.some(({ shape }) => shape.slice(1).includes(null));
  for (const open of isOpen ? OPEN : [1]) {
    try {
      tf.tidy(() => {
        const inputs = model.inputs.map(({ shape: [batch, ...example] }) =>
          tf.zeros([batch ?? 1, ...example.map((size) => size ?? open)]),
        );
        withLayerOutputs(walkLayers(model), watch, () => model.predict(inputs));
      });
    } catch (error) {
      tf.dispose([...reads.values()].flat());
      if (!isOpen) throw error;
      throw new UnsupportedError(
        `removeDeadNeurons: "${model.name}" does not take inputs of the sizes ${OPEN.join(' and ')}, at which a ` +
          `model with open sizes is looked at (${(error as Error).message}). Give its input a fixed shape.`,
      );
    }
  }
  return reads;
}

/** Adds what the removed channels gave to the biases of the layers that read them. */
function foldConstants(
  before: LayersModel,
  after: LayersModel,
  removed: Removable['removed'],
  shifts: readonly Shift[],
): void {
  const groups = channelGroups(before);
  const { layers } = trace(after);
  for (const [path, shift] of shifts) {
    if (shift.every((value) => value === 0)) continue;
    const { bias } = layers.get(path) as unknown as { bias: { read(): tf.Variable } };
    const kept = Float32Array.from(keptOutputs(path, groups, removed), (o) => shift[o]!);
    tf.tidy(() => bias.read().assign(tf.add(bias.read(), tf.tensor1d(kept))));
  }
}
