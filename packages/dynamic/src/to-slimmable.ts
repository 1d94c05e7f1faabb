// A slimmable network made of a plain one.
import * as tf from '@tensorflow/tfjs-core';
import type * as tfl from '@tensorflow/tfjs-layers';
import { checkOptions, NoMatchError } from '@thimble/base';
import { finalize, type NewLayer, replaceLayers, trace } from '@thimble/core';
import { setWidth } from './set-width.ts';
import { slimmableBatchNormalization } from './slimmable-batch-normalization.ts';
import {
  type SlimmableOptions,
  slimmableConv2d,
  slimmableDense,
  slimmableDepthwiseConv2d,
} from './slimmable-layers.ts';
import { channelsAt, checkedWidths, isList, type Widths } from './slimmable-widths.ts';

/**
 * A copy of a model of which every dense, convolutional, depthwise and batch normalisation layer is slimmable:
 * at width 1 it computes what the model does, with the same weights. It has to be trained for the other widths, by
 * {@link slimmableTraining}; private scales, shifts and statistics of batch normalisation begin as those of the whole.
 * Transforms are baked into the weights, as by `finalize`.
 *
 * Papers: as {@link slimmableDense}.
 *
 * @throws {OptionError} for widths outside (0, 1], or without 1; {NoMatchError} for a model without such layers;
 *   {UnsupportedError} naming a layer that cannot take fewer channels.
 * @example
 * const several = await toSlimmable(model, { widths: [0.25, 0.5, 1] });
 * await fit(several, train, { loss: 'categoricalCrossentropy', callbacks: [slimmableTraining()] });
 * setWidth(several, 0.5);
 */
export async function toSlimmable(
  model: tfl.LayersModel,
  options: SlimmableOptions,
): Promise<tfl.LayersModel> {
  checkOptions(OWNER, options, ['widths']);
  const widths = checkedWidths(OWNER, options.widths);
  const plain = await finalize(model);
  try {
    const made = replaced(plain, widths);
    try {
      setWidth(made, 1); // finds layers in between that cannot take fewer channels
      return made;
    } catch (error) {
      made.dispose();
      throw error;
    }
  } finally {
    plain.dispose();
  }
}

const OWNER = 'toSlimmable';

function replaced(model: tfl.LayersModel, widths: Widths): tfl.LayersModel {
  const { graph, layers } = trace(model);
  const narrowed = narrowedBy(graph);
  const chains = new Map<tfl.layers.Layer, [NewLayer]>();
  for (const { op, name, layer: path } of graph.nodes) {
    const layer = layers.get(path);
    const make = FORMS[op];
    if (!layer || !make || (op === 'batchNormalization' && !narrowed.has(name))) continue;
    if (!chains.has(layer)) chains.set(layer, [make(layer, widths)]);
  }
  if (chains.size === 0) {
    throw new NoMatchError(
      `${OWNER}: model "${model.name}" has no dense or convolutional layer that could be made slimmable.`,
    );
  }
  const made = replaceLayers(model, chains);
  tf.dispose([...chains.values()].flatMap(([{ weights }]) => [...weights]));
  return made;
}

type Make = (layer: tfl.layers.Layer, widths: Widths) => NewLayer;

const FORMS: Readonly<Record<string, Make>> = {
  dense: weighted(slimmableDense),
  conv2d: weighted(slimmableConv2d),
  depthwiseConv2d: weighted(slimmableDepthwiseConv2d),
  batchNormalization: normalizing,
};

function weighted(make: (args: never) => tfl.layers.Layer): Make {
  return (layer, widths) => ({
    layer: make({ ...layer.getConfig(), widths } as never),
    weights: layer.getWeights().map((weight) => tf.clone(weight)),
  });
}

/** Its weights come width by width, those of the whole first; the trained ones before the statistics. */
function normalizing(layer: tfl.layers.Layer, widths: Widths): NewLayer {
  const made = slimmableBatchNormalization({ ...layer.getConfig(), widths } as never);
  const whole = layer.getWeights();
  const own = isList(widths) ? [1, ...widths.filter((width) => width < 1)] : [1];
  const part = (weight: tf.Tensor, width: number) =>
    tf.slice(weight, 0, channelsAt(weight.shape[0]!, width));
  const weights = [whole.slice(0, -2), whole.slice(-2)].flatMap((group) =>
    own.flatMap((width) => group.map((weight) => part(weight, width))),
  );
  return { layer: made, weights };
}

/** The values whose channels are fewer at a smaller width: those behind a layer that is not the last to make some. */
function narrowedBy({ nodes, outputs }: ReturnType<typeof trace>['graph']): Set<string> {
  const makes = (op: string) => op === 'dense' || op === 'conv2d';
  const byName = new Map(nodes.map((node) => [node.name, node]));
  const whole = new Set<string>();
  const visit = (name: string): void => {
    const { op, inputs } = byName.get(name)!;
    whole.add(name);
    if (!makes(op)) for (const { node } of inputs) visit(node);
  };
  for (const { node } of outputs) visit(node);
  const narrowed = new Set<string>();
  for (const { name, op, inputs } of nodes) {
    const behind = inputs.some(({ node }) => narrowed.has(node));
    if (makes(op) ? !whole.has(name) : behind) narrowed.add(name);
  }
  return narrowed;
}
