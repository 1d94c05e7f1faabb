// Layers that are narrowed, as plain layers of their present width.
import { ShapeError, UnsupportedError } from '@thimble/base';
import type { GraphNode, GraphWeight, Shape } from '../graph.ts';
import { entriesAt, firstEntries } from './entries.ts';
import type { PlainForm } from './plain-graph.ts';

interface Active {
  inputs: number;
  outputs: number;
  positions: number;
}

/** What of a layer is at work; undefined for all of it. */
function activeOf({ attributes }: GraphNode): Active | undefined {
  return (attributes.active ?? undefined) as Active | undefined;
}

/** The attributes of the plain layer. */
function plain({ attributes }: GraphNode): GraphNode['attributes'] {
  const { widths, width, active, calibrated, ...rest } = attributes;
  return rest;
}

function narrowed(shape: Shape, channels: number | undefined): Shape {
  return channels === undefined ? shape : [...shape.slice(0, -1), channels];
}

/** The bias of the channels at work. */
function withBias(
  weights: Record<string, GraphWeight>,
  bias: GraphWeight | undefined,
  outputs: number | undefined,
): Record<string, GraphWeight> {
  if (!bias) return weights;
  return { ...weights, bias: outputs === undefined ? bias : firstEntries(bias, [outputs]) };
}

export const slimmableDense: PlainForm = (node, weight) => {
  const active = activeOf(node);
  const kernel = weight('kernel')!;
  return {
    op: 'dense',
    attributes: { ...plain(node), ...(active ? { units: active.outputs } : {}) },
    weights: withBias(
      { kernel: active ? matrix(kernel, active) : kernel },
      weight('bias'),
      active?.outputs,
    ),
    outputs: [narrowed(node.outputs[0]!, active?.outputs)],
  };
};

/** The rows of the channels at work, of every position of a flattened map of features, and the first columns. */
function matrix(kernel: GraphWeight, { inputs, outputs, positions }: Active): GraphWeight {
  const [rows] = kernel.encoding.shape as [number, number];
  const channels = rows / positions;
  if (!Number.isInteger(channels) || !(inputs <= channels)) {
    throw new ShapeError(
      `A kernel of ${rows} rows has none for ${inputs} channels at ${positions} positions.`,
    );
  }
  const own = Array.from(
    { length: positions * inputs },
    (_, i) => Math.floor(i / inputs) * channels + (i % inputs),
  );
  const part = own.length === rows ? kernel : entriesAt(kernel, 0, own);
  return firstEntries(part, [own.length, outputs]);
}

export const slimmableConv2d: PlainForm = (node, weight) => {
  const active = activeOf(node);
  const kernel = weight('kernel')!;
  const [height, width] = kernel.encoding.shape as [number, number];
  return {
    op: 'conv2d',
    attributes: { ...plain(node), ...(active ? { filters: active.outputs } : {}) },
    weights: withBias(
      {
        kernel: active
          ? firstEntries(kernel, [height, width, active.inputs, active.outputs])
          : kernel,
      },
      weight('bias'),
      active?.outputs,
    ),
    outputs: [narrowed(node.outputs[0]!, active?.outputs)],
  };
};

export const slimmableDepthwiseConv2d: PlainForm = (node, weight) => {
  const active = activeOf(node);
  const kernel = weight('depthwiseKernel')!;
  const [height, width, , multiplier] = kernel.encoding.shape as [number, number, number, number];
  const part = active && firstEntries(kernel, [height, width, active.inputs, multiplier]);
  return {
    op: 'depthwiseConv2d',
    attributes: plain(node),
    weights: withBias({ depthwiseKernel: part ?? kernel }, weight('bias'), active?.outputs),
    outputs: [narrowed(node.outputs[0]!, active?.outputs)],
  };
};

export const slimmableBatchNormalization: PlainForm = (node, weight) => {
  const active = activeOf(node);
  const { width } = node.attributes;
  const channels = active?.outputs ?? node.outputs[0]!.at(-1)!;
  const mean = weight('movingMean') ?? weight('moving_mean');
  const variance = weight('movingVariance') ?? weight('moving_variance');
  if (mean?.encoding.shape[0] !== channels || variance?.encoding.shape[0] !== channels) {
    throw new UnsupportedError(
      `layer "${node.layer}" has no statistics for width ${width}: call calibrateWidths for it before the model ` +
        'is saved.',
    );
  }
  const weights: Record<string, GraphWeight> = { movingMean: mean, movingVariance: variance };
  for (const role of ['gamma', 'beta']) {
    // Those of a list of widths are private to each.
    const own = weight(`${role}_${width}`) ?? weight(role);
    if (own) weights[role] = firstEntries(own, [channels]);
  }
  return {
    op: 'batchNormalization',
    attributes: plain(node),
    weights,
    outputs: [narrowed(node.outputs[0]!, active?.outputs)],
  };
};
