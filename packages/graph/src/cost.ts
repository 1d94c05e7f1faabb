// What a network costs to store and to run.
import { encodedBits, sizeOf } from '@thimble/base';
import type { Graph, GraphNode, Shape } from './graph.ts';
import { macsOf } from './macs.ts';
import { validateGraph } from './validate.ts';

/** What something costs. */
export interface Cost {
  /** Entries of the weights, pruned ones included. */
  params: number;
  /** Entries that are not zero after pruning and coding. */
  nonzero: number;
  /**
   * Multiply-accumulates of convolutions and dense products for one example, all entries of a weight
   * counted; NaN where they cannot be known.
   */
  macs: number;
  /**
   * Bits of the weights before entropy coding: dense, or a bitmap and the kept values, whichever is
   * smaller, with scales, zero points and centroids.
   */
  bits: number;
  /** `bits / 8`, rounded up. */
  bytes: number;
}

/** The cost of one node. A shared weight counts at the first node that uses it. */
export interface NodeCost extends Cost {
  name: string;
}

/** The cost of one layer: of all its applications. */
export interface LayerCost extends Cost {
  name: string;
  op: string;
  /** Shape of its (first) output, batch axis left out. */
  shape: Shape;
}

/** The cost of a network. */
export interface CostReport {
  nodes: NodeCost[];
  layers: LayerCost[];
  /** Sums over the nodes; multiply-accumulates that are not known are left out. */
  total: Cost;
  /** The layers whose multiply-accumulates are not known. */
  uncounted: string[];
}

/**
 * Counts what a network costs to store (every weight once) and to run on one example (a shared layer once
 * per application).
 *
 * @example
 * const { total } = cost(graph);
 * console.log(total.params, total.macs, total.bytes);
 */
export function cost(graph: Graph): CostReport {
  validateGraph(graph);
  const byName = new Map(graph.nodes.map((node) => [node.name, node]));
  const counted = new Set<string>();
  const nodes: NodeCost[] = [];
  const layers = new Map<string, LayerCost>();
  const total = nothing();
  for (const node of graph.nodes) {
    if (node.op === 'input') continue;
    const own: NodeCost = { name: node.name, ...nothing() };
    for (const key of Object.values(node.weights)) {
      if (counted.has(key)) continue;
      counted.add(key);
      const { encoding } = graph.weights[key]!;
      own.params += sizeOf(encoding.shape);
      own.nonzero += encoding.nonzero;
      own.bits += encodedBits(encoding);
    }
    own.bytes = Math.ceil(own.bits / 8);
    own.macs = macsOfNode(graph, byName, node);
    nodes.push(own);
    const shape = node.outputs[0] ?? [];
    const layer = layers.get(node.layer) ?? { name: node.layer, op: node.op, shape, ...nothing() };
    layers.set(node.layer, Object.assign(add(layer, own), { shape }));
    add(total, Number.isNaN(own.macs) ? { ...own, macs: 0 } : own);
  }
  const uncounted = [...layers.values()].filter(({ macs }) => Number.isNaN(macs));
  return {
    nodes,
    layers: [...layers.values()],
    total,
    uncounted: uncounted.map(({ name }) => name),
  };
}

function nothing(): Cost {
  return { params: 0, nonzero: 0, macs: 0, bits: 0, bytes: 0 };
}

/** Adds a cost to another one, which is returned. */
function add<C extends Cost>(sum: C, { params, nonzero, macs, bits }: Cost): C {
  sum.params += params;
  sum.nonzero += nonzero;
  sum.macs += macs;
  sum.bits += bits;
  sum.bytes = Math.ceil(sum.bits / 8);
  return sum;
}

function macsOfNode(graph: Graph, byName: Map<string, GraphNode>, node: GraphNode): number {
  if (node.macs !== undefined) return node.macs;
  const operands = {
    inputs: node.inputs.map((source) => byName.get(source.node)!.outputs[source.output]!),
    outputs: node.outputs,
    weights: Object.fromEntries(
      Object.entries(node.weights).map(([role, key]) => [role, graph.weights[key]!.encoding.shape]),
    ),
  };
  return macsOf(node.op, operands, node.attributes.dataFormat === 'channelsFirst');
}
