// The layers of Thimble that compute as a plain one with other weights, as that.
import { sizeOf } from '@thimble/base';
import type { Graph, GraphNode, GraphWeight, Shape } from '../graph.ts';
import {
  slimmableBatchNormalization,
  slimmableConv2d,
  slimmableDense,
  slimmableDepthwiseConv2d,
} from './slimmable.ts';
import { versatileConv2d } from './versatile.ts';

/** What of a node is another in its plain form. */
export interface Plain extends Pick<GraphNode, 'op' | 'attributes' | 'outputs'> {
  weights: Record<string, GraphWeight>;
}

/** The plain form of a node, from its weights by role and the shapes of its inputs. */
export type PlainForm = (
  node: GraphNode,
  weight: (role: string) => GraphWeight | undefined,
  inputs: readonly Shape[],
) => Plain;

const FORMS: Record<string, PlainForm> = {
  slimmableBatchNormalization,
  slimmableConv2d,
  slimmableDense,
  slimmableDepthwiseConv2d,
  versatileConv2d,
};

/**
 * The same network with plain layers, as far as a layer of Thimble is one: a slimmable layer is that of its present
 * width, with the part of its weights that is at work, and what comes behind it has as many channels; a versatile
 * convolution is one with a kernel of its own for every filter. All other nodes stay.
 *
 * @throws {UnsupportedError} for slimmable batch normalisation without statistics for its width.
 * @example
 * const plain = plainGraph(lower(model));
 */
export function plainGraph(graph: Graph): Graph {
  if (!graph.nodes.some(({ op }) => op in FORMS)) return graph;
  const weights = { ...graph.weights };
  const shapes = new Map<string, readonly Shape[]>();
  const nodes = graph.nodes.map((node): GraphNode => {
    const inputs = node.inputs.map((source) => shapes.get(source.node)![source.output]!);
    const form = FORMS[node.op];
    const made = form?.(node, (role) => graph.weights[node.weights[role] ?? ''], inputs);
    const outputs = made?.outputs ?? keptChannels(graph, node, inputs);
    shapes.set(node.name, outputs);
    if (!made) return { ...node, outputs };
    const keys = Object.entries(made.weights).map(([role, weight]): [string, string] => {
      const key = `${node.layer}/${role} as ${made.op}`;
      weights[key] = weight;
      return [role, key];
    });
    return { ...node, ...made, outputs, weights: Object.fromEntries(keys) };
  });
  return { ...graph, nodes, weights };
}

/** The outputs of a node that keeps the channels of its input, which may be fewer than they were. */
function keptChannels(
  { nodes }: Graph,
  { op, inputs, outputs }: GraphNode,
  [now]: readonly Shape[],
): Shape[] {
  const [source] = inputs;
  const before = source && nodes.find(({ name }) => name === source.node)!.outputs[source.output]!;
  if (!now || now.at(-1) === before!.at(-1)) return outputs;
  if (op === 'flatten') return [[sizeOf(now as number[])]];
  return outputs.map((shape) => [...shape.slice(0, -1), now.at(-1)!]);
}
