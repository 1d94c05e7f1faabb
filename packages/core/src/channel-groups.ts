// The channels of a model that can only go together.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import type { Graph, GraphNode, Source } from '@thimble/graph';
import { ChannelFlow, type ChannelRole, type WeightAxis } from './channel-flow.ts';
import type { Ids } from './channel-ids.ts';
import { follow } from './channel-rules.ts';
import { type Traced, trace } from './lower.ts';

/** What a group of channels has along one axis of one weight. */
export interface ChannelMember {
  /**
   * Path of the layer that owns the weight, as {@link lower} names it: 'conv1', 'outer/conv',
   * 'both/forward'. The weight is `lower(model).weights[layer + '/' + weight]`.
   */
  layer: string;
  /** The name that the layer gives the weight: 'kernel', 'bias', 'gamma', 'depthwiseKernel' ... */
  weight: string;
  axis: number;
  /**
   * 'out': the layer makes the channels. 'in': it reads them through a kernel. 'through': it handles each
   * by itself, as batch normalisation, a depthwise kernel and PReLU do.
   */
  role: ChannelRole;
  /** For every index along the axis the number of its channel in the group, -1 for one of another group. */
  channels: Int32Array;
}

/** An output of a layer in which channels can be watched. */
export interface WatchedOutput {
  /** Path of the layer, as in {@link ChannelMember}. */
  layer: string;
  /** Which application of the layer, counted as {@link lower} does: node 'relu' is 0, 'relu:1' is 1. */
  application: number;
  /** Which of its outputs. */
  output: number;
  /** For every index along the last axis the number of its channel in the group, -1 for another group's. */
  channels: Int32Array;
}

/** Channels that are made by the same layers and lie in the same weights. */
export interface ChannelGroup {
  /** The producers joined by '+': 'conv1+conv2+conv4'. */
  name: string;
  /** Number of channels. */
  size: number;
  /** Paths of the layers that make the channels; the input layers for the channels of an input. */
  producers: string[];
  /** Paths of the layers that read them through a kernel. */
  consumers: string[];
  members: ChannelMember[];
  /** Absent when channels can be removed; else why not: 'an output of the model' ... */
  fixed?: string;
  /** True where nothing but operations that are not known keeps the channels from being removed. */
  unknown?: boolean;
  /**
   * True where a single channel of another group is added to or multiplied with all of these: then they depend on
   * more than their producers.
   */
  mixed?: boolean;
  /**
   * Where the activations of the channels can be watched: for each kernel that reads them, what it reads,
   * before pooling, padding, dropout, flattening and their like. Each place once.
   */
  watched: WatchedOutput[];
}

/**
 * The channels of a model, grouped by the layers that make them. Removing channel `i` of a group takes
 * its slice from every member: `filters` of a convolution, `units` of a dense or recurrent layer (in all
 * gates), `outputDim` of an embedding; the slices of the kernels that read it, of all four vectors of a
 * batch normalisation, of depthwise kernels, of biases.
 *
 * Channels are one where values are added, multiplied or otherwise merged index by index, where a layer is
 * shared, and where a reshape lays them over one another. Flattening repeats them once per position.
 * Those that cannot be removed are listed with the reason in `fixed`: inputs and outputs of the model,
 * softmax or layer normalization over the channels, `channelsFirst` layouts, channels that are moved to
 * another axis, and all that reach or leave an operation that is not known here.
 *
 * Groups are in the order of the graph. Channels are followed along the last axis of each value.
 *
 * @throws {UnsupportedError} when the model is not built yet.
 * @example
 * for (const { name, size, fixed } of channelGroups(model)) console.log(name, size, fixed ?? 'free');
 */
export function channelGroups(model: LayersModel): ChannelGroup[] {
  return groupsOf(followChannels(model));
}

/** A model whose channels have been followed. */
export interface FollowedModel {
  traced: Traced;
  flow: ChannelFlow;
  /** The group of each channel and its number there, by the id that stands for it. */
  places: ReadonlyMap<number, Place>;
}

interface Place {
  group: GroupOfIds;
  number: number;
}

/** A group while it grows. */
interface GroupOfIds {
  name: string;
  size: number;
  producers: string[];
  reasons: Set<string>;
}

export function followChannels(model: LayersModel): FollowedModel {
  const traced = trace(model);
  const flow = new ChannelFlow(traced);
  for (const node of traced.graph.nodes) {
    const inputs = node.inputs.map((source) => flow.valueOf(source));
    if (inputs[0]) flow.enter(node, inputs[0]);
    follow({ node, inputs, flow }).forEach((ids, output) => {
      flow.setValue({ node: node.name, output }, ids);
    });
  }
  flow.finish();
  return { traced, flow, places: placesOf(flow) };
}

/** Collects the ids that stand for channels by who makes them. */
function placesOf({ channels, made }: ChannelFlow): Map<number, Place> {
  const producers = new Map<number, Set<string>>();
  for (const { node, ids } of made) {
    for (const id of ids) {
      const root = channels.find(id);
      const known = producers.get(root);
      if (known) known.add(node.layer);
      else producers.set(root, new Set([node.layer]));
    }
  }
  const groups = new Map<string, GroupOfIds>();
  const places = new Map<number, Place>();
  for (const root of [...producers.keys()].sort((a, b) => a - b)) {
    const layers = [...producers.get(root)!];
    const name = layers.join('+'); // TensorFlow.js allows no '+' in the name of a layer.
    const group = groups.get(name) ?? { name, size: 0, producers: layers, reasons: new Set() };
    groups.set(name, group);
    for (const reason of channels.reasons(root) ?? []) group.reasons.add(reason);
    places.set(root, { group, number: group.size++ });
  }
  return places;
}

/** The groups of a followed model, those without weights left out. */
export function groupsOf(followed: FollowedModel): ChannelGroup[] {
  const { traced, flow } = followed;
  const groups = new Map<GroupOfIds, ChannelGroup>();
  for (const { group } of followed.places.values()) {
    const { name, size, producers, reasons } = group;
    const unknown = [...reasons].every((reason) => flow.unknown.has(reason));
    const fixed = reasons.size > 0 ? { fixed: [...reasons].join('; '), unknown } : {};
    groups.set(group, { name, size, producers, consumers: [], members: [], ...fixed, watched: [] });
  }
  for (const axis of flow.axes.values()) {
    for (const [group, channels] of numbers(axis.ids, followed)) {
      const { members, consumers } = groups.get(group)!;
      members.push(memberOf(axis, channels));
      if (axis.role !== 'in') continue;
      for (const layer of axis.layers) if (!consumers.includes(layer)) consumers.push(layer);
    }
  }
  for (const ids of flow.mixed) {
    for (const group of numbers(ids, followed).keys()) groups.get(group)!.mixed = true;
  }
  const nodes = new Map(traced.graph.nodes.map((node) => [node.name, node]));
  for (const source of watchedSources(traced.graph, nodes, flow)) {
    for (const [group, channels] of numbers(flow.valueOf(source), followed)) {
      groups.get(group)!.watched.push({ ...placeOf(nodes.get(source.node)!, source), channels });
    }
  }
  return [...groups.values()].filter(({ members }) => members.length > 0);
}

/** The groups that have channels along an axis, each with its numbers there. */
function numbers(ids: Ids, { flow, places }: FollowedModel): Map<GroupOfIds, Int32Array> {
  const found = new Map<GroupOfIds, Int32Array>();
  ids.forEach((id, i) => {
    const place = places.get(flow.channels.find(id));
    if (!place) return;
    let channels = found.get(place.group);
    if (!channels) {
      channels = new Int32Array(ids.length).fill(-1);
      found.set(place.group, channels);
    }
    channels[i] = place.number;
  });
  return found;
}

function memberOf({ key, axis, role }: WeightAxis, channels: Int32Array): ChannelMember {
  const end = key.lastIndexOf('/');
  return { layer: key.slice(0, end), weight: key.slice(end + 1), axis, role, channels };
}

/** Operations before which the activations are watched: they neither add nor change a channel. */
const PASSED =
  /^(flatten|reshape|repeatVector|reverse|dropout|alphaDropout|gaussianDropout|gaussianNoise|spatialDropout1d|zeroPadding2d|cropping2d|upSampling2d|(global)?(max|average)Pooling\dd|global(Max|Average)Pooling\dd)$/;

/** The values that kernels read, traced back to where they were made; each once. */
function watchedSources(
  graph: Graph,
  nodes: ReadonlyMap<string, GraphNode>,
  flow: ChannelFlow,
): Source[] {
  const readers = new Set(
    [...flow.axes.values()].filter(({ role }) => role === 'in').map(({ key }) => key),
  );
  const found = new Map<string, Source>();
  for (const node of graph.nodes) {
    if (!Object.values(node.weights).some((key) => readers.has(key))) continue;
    let source = node.inputs[0]!;
    for (let from = nodes.get(source.node)!; PASSED.test(from.op); from = nodes.get(source.node)!) {
      source = from.inputs[0]!;
    }
    if (nodes.get(source.node)!.op !== 'input')
      found.set(`${source.node} ${source.output}`, source);
  }
  return [...found.values()];
}

function placeOf(node: GraphNode, { output }: Source): Omit<WatchedOutput, 'channels'> {
  // 'relu', 'relu:1' or, inside a Bidirectional that is the layer 'both', 'both/forward'.
  const [, part, application] = /^(.*?)(?::(\d+))?$/.exec(node.name.slice(node.layer.length))!;
  return { layer: node.layer + part, application: Number(application ?? 0), output };
}
