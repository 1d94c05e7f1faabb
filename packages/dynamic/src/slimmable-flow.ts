// How the channels of slimmable layers flow through a model, and what follows for every layer at a width.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { NoMatchError, UnsupportedError } from '@thimble/base';
import { type Traced, trace } from '@thimble/core';
import { type Active, isSlimmable, type SlimmableLayer } from './slimmable.ts';
import { ThimbleSlimmableBatchNormalization } from './slimmable-batch-normalization.ts';
import { channelsAt } from './slimmable-widths.ts';

/** Layers whose channels are narrowed together: one, or several whose outputs are added. */
export interface WidthGroup {
  /** The name of its first layer. */
  readonly name: string;
  readonly layers: SlimmableLayer[];
  /** Channels of the whole. */
  readonly channels: number;
}

/** The width of a layer with what it means for it. */
export interface Setting {
  layer: SlimmableLayer;
  width: number;
  active: Active;
}

/** The operations that take any number of channels and keep it. */
const KEEPING =
  /^(activation|reLU|leakyReLU|elu|thresholdedReLU|softmax|dropout|spatialDropout1d|gaussianNoise|gaussianDropout|alphaDropout|(max|average)Pooling[123]d|zeroPadding2d|cropping2d|upSampling2d|add|multiply|average|maximum|minimum)$/;
/** Those that leave one position. */
const GLOBAL = /^global(Max|Average)Pooling[12]d$/;
const MAKING = /^slimmable(Dense|Conv2d)$/;
/** Those that may follow the layer that makes the outputs, beside those that keep channels. */
const BEHIND = /^(slimmable(DepthwiseConv2d|BatchNormalization)|batchNormalization|flatten)$/;

/** Of the channels of a value: how many there are as a whole, where they come from, how they are laid out. */
interface Flow {
  channels: number;
  positions: number;
  /** The layer that the channels come from; undefined where there are as many at every width. */
  group: SlimmableLayer | undefined;
  /** Of depthwise layers in between. */
  multiplier: number;
}

/** What is the same at every width: found once for a model. */
interface Analysis {
  layers: number;
  traced: Traced;
  slimmable: SlimmableLayer[];
  groups: WidthGroup[];
  /** By layers that make channels: the group; absent for those that keep all of them. */
  groupOf: Map<SlimmableLayer, WidthGroup>;
  /** What each slimmable layer gets. */
  inputs: Map<SlimmableLayer, Flow>;
}

const analyses = new WeakMap<LayersModel, Analysis>();

/**
 * The groups of a model in the order of its layers.
 *
 * @throws NoMatchError without slimmable layers; UnsupportedError naming a layer that cannot be narrowed.
 */
export function widthGroups(owner: string, model: LayersModel): readonly WidthGroup[] {
  return analysisOf(owner, model).groups;
}

/** All slimmable layers of a model. */
export function slimmableLayers(owner: string, model: LayersModel): readonly SlimmableLayer[] {
  return analysisOf(owner, model).slimmable;
}

/** What every slimmable layer is at the widths of the groups; nothing is changed. */
export function settingsFor(
  owner: string,
  model: LayersModel,
  widthOf: (group: WidthGroup) => number,
): Setting[] {
  const { slimmable, groupOf, inputs } = analysisOf(owner, model);
  return slimmable.map((layer) => {
    const { group, channels, multiplier, positions } = inputs.get(layer)!;
    const source = group && groupOf.get(group);
    const active = source
      ? channelsAt(source.channels, widthOf(source)) * multiplier
      : channels / positions;
    const own = groupOf.get(layer);
    const passing = !isMaking(layer);
    const width = own ? widthOf(own) : passing && source ? widthOf(source) : 1;
    const outputs = passing ? active * multiplierOf(layer) : channelsAt(channelsOf(layer), width);
    return { layer, width, active: { inputs: active, outputs, positions } };
  });
}

function analysisOf(owner: string, model: LayersModel): Analysis {
  const known = analyses.get(model);
  if (known?.layers === model.layers.length) return known;
  const found = analyse(owner, model);
  analyses.set(model, found);
  return found;
}

function analyse(owner: string, model: LayersModel): Analysis {
  const traced = trace(model);
  const { graph, layers } = traced;
  const slimmable = [...new Set(layers.values())].filter(isSlimmable);
  if (slimmable.length === 0) {
    throw new NoMatchError(
      `${owner}: model "${model.name}" has no slimmable layers. Make it of slimmableDense, slimmableConv2d, ` +
        'slimmableDepthwiseConv2d and slimmableBatchNormalization.',
    );
  }
  const whole = keptWhole(traced);
  const joined = new Map<SlimmableLayer, SlimmableLayer>();
  const rootOf = (layer: SlimmableLayer): SlimmableLayer => {
    const up = joined.get(layer);
    return up ? rootOf(up) : layer;
  };
  const inputs = new Map<SlimmableLayer, Flow>();
  const flows = new Map<string, Flow>();
  const refuse = (name: string, why: string): never => {
    throw new UnsupportedError(`${owner}: layer "${name}" ${why}`);
  };
  for (const { name, op, layer: path, inputs: sources, outputs } of graph.nodes) {
    const given = sources.map(({ node }) => flows.get(node)!);
    const [first] = given;
    const channels = outputs[0]!.at(-1) ?? 0;
    const fresh: Flow = { channels, positions: 1, group: undefined, multiplier: 1 };
    const layer = layers.get(path);
    if (layer && isSlimmable(layer)) {
      const before = inputs.get(layer);
      if (before && (before.group !== first!.group || before.positions !== first!.positions)) {
        refuse(path, 'is shared, and gets channels of different layers: give each place its own.');
      }
      inputs.set(layer, first!);
      if (MAKING.test(op))
        flows.set(name, { ...fresh, group: whole.has(path) ? undefined : layer });
      else {
        if (layer instanceof ThimbleSlimmableBatchNormalization && !first!.group) {
          refuse(
            path,
            'normalises channels that are the same at every width: use tf.layers.batchNormalization there, ' +
              'or put it behind a slimmable layer that is not the last.',
          );
        }
        const multiplier = first!.multiplier * multiplierOf(layer);
        flows.set(name, { ...first!, channels, multiplier });
      }
      continue;
    }
    const narrowed = given.find(({ group }) => group);
    if (!narrowed) {
      const flat = op === 'flatten' ? positionsOf(first!, outputs[0]!) : undefined;
      flows.set(name, { ...fresh, ...(flat && { positions: flat }) });
    } else if (op === 'flatten') {
      flows.set(name, { ...narrowed, channels, positions: positionsOf(narrowed, outputs[0]!) });
    } else if (GLOBAL.test(op)) flows.set(name, { ...narrowed, channels });
    else if (KEEPING.test(op)) {
      for (const other of given) {
        if (!other.group || other.positions !== narrowed.positions) {
          refuse(
            path,
            'joins channels that are narrowed with channels that are not: make both of slimmable layers.',
          );
        }
        const [a, b] = [rootOf(narrowed.group!), rootOf(other.group!)];
        if (a !== b) joined.set(b, a);
      }
      flows.set(name, narrowed);
    } else {
      refuse(
        path,
        `(${op}) cannot take fewer channels than it was built for. Use its slimmable form, or put it behind ` +
          'the last slimmable layer.',
      );
    }
  }
  for (const { layer, source } of traced.entries) {
    if (flows.get(source.node)?.group) {
      refuse(layer.name, 'begins a model inside the model, which must get all its channels.');
    }
  }
  const groupOf = new Map<SlimmableLayer, WidthGroup>();
  const makers = slimmable.filter((layer) => isMaking(layer) && inputs.has(layer));
  const narrowable = makers.filter((layer) => !whole.has(pathOf(layers, layer)));
  for (const layer of narrowable) {
    const root = rootOf(layer);
    const known = groupOf.get(root);
    const group = known ?? { name: layer.name, layers: [], channels: channelsOf(layer) };
    group.layers.push(layer);
    groupOf.set(root, group);
    groupOf.set(layer, group);
  }
  const groups = [...new Set(narrowable.map((layer) => groupOf.get(layer)!))];
  return { layers: model.layers.length, traced, slimmable, groups, groupOf, inputs };
}

/** The paths of the layers that make the channels of the model's outputs: the last ones. */
function keptWhole({ graph }: Traced): Set<string> {
  const nodes = new Map(graph.nodes.map((node) => [node.name, node]));
  const found = new Set<string>();
  const visit = (name: string): void => {
    const { op, layer, inputs } = nodes.get(name)!;
    if (MAKING.test(op)) found.add(layer);
    else if (BEHIND.test(op) || KEEPING.test(op) || GLOBAL.test(op)) {
      for (const { node } of inputs) visit(node);
    }
  };
  for (const { node } of graph.outputs) visit(node);
  return found;
}

function pathOf(layers: Traced['layers'], layer: SlimmableLayer): string {
  for (const [path, each] of layers) if (each === layer) return path;
  return layer.name;
}

/** How many positions a flattened map of features has. */
function positionsOf({ channels, positions }: Flow, shape: readonly (number | null)[]): number {
  return shape.at(-1)! / (channels / positions);
}

function isMaking(layer: SlimmableLayer): boolean {
  const { units, filters } = layer as Partial<Record<'units' | 'filters', number>>;
  return units !== undefined || filters !== undefined;
}

function channelsOf(layer: SlimmableLayer): number {
  const { units, filters } = layer as Partial<Record<'units' | 'filters', number>>;
  return units ?? filters!;
}

function multiplierOf(layer: SlimmableLayer): number {
  return (layer as { depthMultiplier?: number }).depthMultiplier ?? 1;
}
