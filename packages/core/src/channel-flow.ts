// What is gathered while channels are followed through a network: ids along the last axis of every
// value and along the axes of weights. The rules of the operations are in channel-rules.ts.
import type { GraphNode, Source } from '@thimble/graph';
import { ChannelIds, type Ids } from './channel-ids.ts';
import type { Layer } from './internals.ts';
import type { Traced } from './lower.ts';

/**
 * What a layer does with the channels along an axis of one of its weights. 'out': it makes them. 'in': it
 * reads them through a kernel, all for each of its outputs. 'through': it handles each by itself, as
 * batch normalisation, a depthwise kernel and the slopes of PReLU do.
 */
export type ChannelRole = 'out' | 'in' | 'through';

/** The channels along one axis of one weight. */
export interface WeightAxis {
  /** Key of the weight in the graph: the path of the layer that owns it, '/', and its name. */
  key: string;
  axis: number;
  role: ChannelRole;
  ids: Ids;
  /** The layers that use the weight, by path. */
  layers: Set<string>;
}

/** An argument of a layer that says how many channels there are. */
export interface SizedOption {
  layer: Layer;
  option: 'filters' | 'units' | 'outputDim' | 'targetShape' | 'batchInputShape';
  ids: Ids;
}

/** Every axis of channels in a network. */
export class ChannelFlow {
  readonly channels: ChannelIds = new ChannelIds();
  readonly axes: Map<string, WeightAxis> = new Map();
  readonly sizes: SizedOption[] = [];
  /** Who makes which channels, in the order of the graph. */
  readonly made: { node: GraphNode; ids: Ids }[] = [];
  /** Channels that are merged with a single one, the same for all of them. */
  readonly mixed: Ids[] = [];
  /** The reasons that are an operation which is not known. */
  readonly unknown: Set<string> = new Set();
  readonly #traced: Traced;
  readonly #values = new Map<string, Ids>();
  readonly #layers = new Map<string, Ids>();
  readonly #entered = new Set<string>();

  constructor(traced: Traced) {
    this.#traced = traced;
  }

  /** The channels along the last axis of a value; of length 0 where their number is not known. */
  valueOf({ node, output }: Source): Ids {
    return this.#values.get(`${node} ${output}`)!;
  }

  setValue({ node, output }: Source, ids: Ids): void {
    this.#values.set(`${node} ${output}`, ids);
  }

  /** The shape of a weight; undefined where the layer has none of that name. */
  shapeOf(node: GraphNode, weight: string): number[] | undefined {
    return this.#traced.variables.get(node.weights[weight] ?? '')?.shape as number[] | undefined;
  }

  /**
   * The channels that a layer makes: the same at each of its applications, and in both directions of a
   * Bidirectional, which has one number of units for them. `option` is the argument that counts them.
   */
  make(node: GraphNode, count: number, option: SizedOption['option']): Ids {
    const known = this.#layers.get(node.layer);
    if (known) return known;
    const ids = this.channels.fresh(count);
    this.#layers.set(node.layer, ids);
    this.made.push({ node, ids });
    this.#size(node, option, ids);
    return ids;
  }

  /** New channels of which none can go. */
  makeFixed(node: GraphNode, output: number, reason: string): Ids {
    const ids = this.positions(node, output, reason);
    this.made.push({ node, ids });
    return ids;
  }

  /** For an output whose last axis does not hold channels. */
  positions(node: GraphNode, output: number, reason: string): Ids {
    const ids = this.channels.fresh(node.outputs[output]!.at(-1) ?? 0);
    this.channels.fix(ids, reason);
    return ids;
  }

  /** Says what comes into a layer first, whose config may hold the shape of that. */
  enter(node: GraphNode, ids: Ids): void {
    // A Bidirectional has further nodes, which merge what its directions give.
    if (this.#entered.has(node.layer)) return;
    this.#entered.add(node.layer);
    this.#size(node, 'batchInputShape', ids);
  }

  /** Says that an argument of a layer counts these channels, at each of its applications. */
  count(node: GraphNode, option: SizedOption['option'], ids: Ids): void {
    const known = this.#layers.get(node.layer);
    if (known) {
      this.#joinOrFix(known, ids, `"${node.layer}"`);
    } else {
      this.#layers.set(node.layer, ids);
      this.#size(node, option, ids);
    }
  }

  /** Says which channels lie along an axis of a weight; the layer may be without that weight. */
  use(node: GraphNode, weight: string, axis: number, role: ChannelRole, ids: Ids): void {
    const key = node.weights[weight];
    if (key === undefined) return;
    const place = `${key} ${axis}`;
    const known = this.axes.get(place);
    if (known) {
      this.channels.join(known.ids, ids);
      known.layers.add(node.layer);
    } else {
      this.axes.set(place, { key, axis, role, ids, layers: new Set([node.layer]) });
    }
  }

  /** Fixes the outputs of the model, and joins what comes into a nested model at its applications. */
  finish(): void {
    const { graph, entries } = this.#traced;
    for (const source of graph.outputs) {
      this.channels.fix(this.valueOf(source), 'an output of the model');
    }
    const entered = new Map<Layer, Ids>();
    for (const { layer, source } of entries) {
      const ids = this.valueOf(source);
      const known = entered.get(layer);
      if (known) {
        this.#joinOrFix(known, ids, `"${layer.name}"`);
      } else {
        entered.set(layer, ids);
        this.sizes.push({ layer, option: 'batchInputShape', ids });
      }
    }
  }

  #size({ layer }: GraphNode, option: SizedOption['option'], ids: Ids): void {
    this.sizes.push({ layer: this.#traced.layers.get(layer)!, option, ids });
  }

  #joinOrFix(a: Ids, b: Ids, who: string): void {
    if (a.length === b.length) {
      this.channels.join(a, b);
      return;
    }
    for (const ids of [a, b]) {
      this.channels.fix(ids, `${who} is applied to different numbers of channels`);
    }
  }
}
