// Where channels can be given another scale without changing what a network computes.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  type ChannelGroup,
  type ChannelMember,
  channelGroups,
  type Traced,
  trace,
} from '@thimble/core';

type Graph = Traced['graph'];
type GraphNode = Graph['nodes'][number];

/** A weight along whose axis the channels lie. */
export interface Side {
  /** Path of the layer, and the name that it gives the weight. */
  layer: string;
  weight: string;
  axis: number;
  /** For every index along the axis its channel, -1 for none. */
  channels: Int32Array;
}

/**
 * A place between layers where the activations of channel c may be divided by any s_c > 0: in the weights of
 * `writers` and their biases, and multiplied again in the kernels of `readers`.
 */
export interface Cut {
  /** Name of the group of channels. */
  name: string;
  size: number;
  writers: Side[];
  biases: Side[];
  readers: Side[];
}

/** A group of channels without cuts. */
export interface LeftChannels {
  name: string;
  reason: string;
}

/** The cuts of a model, and why other channels have none. */
export interface ChannelCuts {
  cuts: Cut[];
  left: LeftChannels[];
}

/** f(s x) = s f(x) for s > 0, channel by channel; sums and maxima over what is scaled alike too. */
const HOMOGENEOUS =
  /^(activation|reLU|leakyReLU|prelu|dropout|alphaDropout|gaussianDropout|gaussianNoise|spatialDropout1d|flatten|reshape|permute|repeatVector|reverse|zeroPadding2d|cropping2d|upSampling2d|(global)?([mM]ax|[aA]verage)Pooling\dd|add|average|maximum|minimum|concatenate)$/;

/** Layers that make or read channels through kernels that can be scaled. */
const KERNEL_OPS = /^(dense|(depthwise|separable)?[cC]onv\dd|conv\ddTranspose)$/;

const ACTIVATIONS = [undefined, null, 'linear', 'relu'];

/** Finds the cuts of a model by its groups of channels, one for each kernel that reads what another made. */
export function channelCuts(model: LayersModel): ChannelCuts {
  const { graph } = trace(model);
  const found: ChannelCuts = { cuts: [], left: [] };
  for (const group of channelGroups(model)) {
    const cuts = cutsOf(group, graph);
    if (typeof cuts === 'string') found.left.push({ name: group.name, reason: cuts });
    else found.cuts.push(...cuts);
  }
  return found;
}

/** The cuts of a group, one for each depthwise kernel on the way and one at the end; or why there are none. */
function cutsOf(group: ChannelGroup, graph: Graph): Cut[] | string {
  if (group.fixed !== undefined) return group.fixed;
  if (group.mixed) return 'a single channel, which would stay as it is, is merged with all of them';
  const ops = new Map(graph.nodes.map((node) => [node.layer, node.op]));
  for (const { layer, weight } of group.members) {
    const op = ops.get(layer) ?? '';
    if (KERNEL_OPS.test(op) || op === 'prelu') continue;
    return `"${weight}" of "${layer}" (${op}) cannot be scaled`;
  }
  const stages = stagesOf(group, graph);
  if (typeof stages === 'string') return stages;
  const last = Math.max(...stages.values());
  const cuts: Cut[] = Array.from({ length: last + 1 }, () => ({
    name: group.name,
    size: group.size,
    writers: [],
    biases: [],
    readers: [],
  }));
  for (const member of group.members) place(member, cuts, stages, ops.get(member.layer)!);
  return cuts.every(({ readers }) => readers.length > 0) ? cuts : 'nothing reads them';
}

function place(
  { role, ...side }: ChannelMember,
  cuts: Cut[],
  stages: ReadonlyMap<string, number>,
  op: string,
): void {
  const { layer, weight } = side;
  const at = stages.get(layer) ?? 0;
  if (weight === 'alpha') return;
  if (role === 'out') (weight === 'bias' ? cuts[0]!.biases : cuts[0]!.writers).push(side);
  else if (weight === 'bias') cuts[at + 1]!.biases.push(side);
  else if (weight === 'depthwiseKernel') {
    cuts[at]!.readers.push(side);
    cuts[at + 1]!.writers.push(side);
  } else cuts[op === 'separableConv2d' ? at + 1 : at]!.readers.push(side);
}

/**
 * How many depthwise kernels lie between the producers of a group and each layer that reads it, and the
 * number of the last stage under '': or why the channels cannot be scaled.
 */
function stagesOf(group: ChannelGroup, graph: Graph): Map<string, number> | string {
  const users = new Map<string, GraphNode[]>();
  for (const node of graph.nodes) {
    for (const { node: from, output } of node.inputs) {
      const key = `${from} ${output}`;
      users.set(key, [...(users.get(key) ?? []), node]);
    }
  }
  const stages = new Map<string, number>();
  const seen = new Map<string, number>();
  const open: [source: string, stage: number][] = [];
  /** Goes on from the outputs of a node. */
  const follow = (node: GraphNode, stage: number): string | undefined => {
    const reason = whyNot(node);
    if (reason) return reason;
    node.outputs.forEach((_, output) => {
      open.push([`${node.name} ${output}`, stage]);
    });
    return undefined;
  };
  const enter = (node: GraphNode, stage: number): string | undefined => {
    const known = stages.get(node.layer) ?? stage;
    stages.set(node.layer, stage);
    if (known !== stage) return `"${node.layer}" gets them at two places`;
    stages.set('', Math.max(stages.get('') ?? 0, stage));
    return undefined;
  };
  for (const node of graph.nodes) {
    if (!group.producers.includes(node.layer)) continue;
    const reason = follow(node, 0);
    if (reason) return reason;
  }
  for (let next = open.pop(); next; next = open.pop()) {
    const [source, stage] = next;
    if ((seen.get(source) ?? stage) !== stage)
      return 'they meet themselves behind a depthwise layer';
    if (seen.has(source)) continue;
    seen.set(source, stage);
    for (const node of users.get(source) ?? []) {
      let reason: string | undefined;
      if (node.op === 'depthwiseConv2d') reason = enter(node, stage) ?? follow(node, stage + 1);
      else if (KERNEL_OPS.test(node.op)) reason = enter(node, stage);
      else reason = follow(node, stage);
      if (node.op === 'separableConv2d') stages.set('', Math.max(stages.get('')!, stage + 1));
      if (reason) return reason;
    }
  }
  return stages;
}

/** Why what a node computes does not scale with its input, or with its kernel. */
function whyNot({ op, layer, attributes }: GraphNode): string | undefined {
  const { activation, maxValue } = attributes;
  if (!KERNEL_OPS.test(op) && !HOMOGENEOUS.test(op)) return `"${layer}" (${op}) does not scale`;
  if (!ACTIVATIONS.includes(activation as string)) {
    return `the activation "${activation}" of "${layer}" does not scale`;
  }
  if (op === 'reLU' && typeof maxValue === 'number') return `"${layer}" ends at ${maxValue}`;
  return undefined;
}
