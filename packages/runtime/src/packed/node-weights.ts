// The weights of a node as the kernels want them.
import { ShapeError, UnsupportedError } from '@thimble/base';
import type { Graph, GraphNode, GraphWeight } from '@thimble/graph';
import { StoredWeight } from '../file/stored-weight.ts';
import type { Signs } from './operations.ts';

/** Of the batch normalisation inside xnor layers. */
const XNOR_EPSILON = 1e-4;

/** A weight with values, which one that is stored in a file's memory makes when they are asked for. */
export type Weight = Required<GraphWeight>;

/** The first of the weights of a node under these names that there is. */
export function weightOf(graph: Graph, node: GraphNode, ...roles: string[]): Weight | undefined {
  for (const role of roles) {
    const key = node.weights[role];
    if (key === undefined) continue;
    const weight = graph.weights[key]!;
    if (weight instanceof StoredWeight || weight.data) return weight as Weight;
    throw new UnsupportedError(
      `layer "${node.layer}": its ${role} has no values. Lower the model with its weights.`,
    );
  }
  return undefined;
}

/** As {@link weightOf}, the values of a weight that has one for each channel. */
function valuesOf(
  graph: Graph,
  node: GraphNode,
  channels: number,
  ...roles: string[]
): Float32Array | undefined {
  const data = weightOf(graph, node, ...roles)?.data;
  if (!data || data.length === channels) return data;
  throw new ShapeError(
    `layer "${node.layer}": its ${roles[0]} has ${data.length} values; there are ${channels} channels.`,
  );
}

/** A copy of the bias, or zeros. */
export function biasOf(graph: Graph, node: GraphNode, outputs: number): Float32Array {
  return Float32Array.from(valuesOf(graph, node, outputs, 'bias') ?? new Float32Array(outputs));
}

/** @throws {ShapeError} for a kernel from or to other channels than those of its layer. */
export function checkKernel(
  { layer }: GraphNode,
  { inputs, outputs }: { inputs: number; outputs: number },
  from: number,
  to: number | undefined,
): void {
  if (inputs === from && outputs === to) return;
  throw new ShapeError(
    `layer "${layer}": its kernel leads from ${inputs} to ${outputs} channels; the layer has ${from} and ${to}.`,
  );
}

/** The signs of a binary layer: batch normalisation of its own is in scale and shift. */
export function signsOf(graph: Graph, node: GraphNode, channels: number): Signs | undefined {
  if (!node.op.startsWith('xnor')) return undefined;
  const magnitude = node.attributes.scaling === 'weightsAndInputs';
  const scale = new Float32Array(channels).fill(1);
  const shift = new Float32Array(channels);
  if (!node.attributes.batchNormalization) return { scale, shift, magnitude };
  return { ...normalizationOf(graph, node, channels, XNOR_EPSILON), magnitude };
}

/** Batch normalisation as a scale and a shift. */
export function normalizationOf(
  graph: Graph,
  node: GraphNode,
  channels: number,
  epsilon: number,
): { scale: Float32Array; shift: Float32Array } {
  const of = (...roles: string[]): Float32Array | undefined =>
    valuesOf(graph, node, channels, ...roles);
  const mean = of('movingMean', 'moving_mean')!;
  const variance = of('movingVariance', 'moving_variance')!;
  const [gamma, beta] = [of('gamma'), of('beta')];
  const scale = new Float32Array(channels);
  const shift = new Float32Array(channels);
  for (let c = 0; c < channels; c++) {
    scale[c] = (gamma?.[c] ?? 1) / Math.sqrt(variance[c]! + epsilon);
    shift[c] = (beta?.[c] ?? 0) - mean[c]! * scale[c]!;
  }
  return { scale, shift };
}
