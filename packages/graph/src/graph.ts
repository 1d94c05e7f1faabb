// A network as plain data: what is computed from what, with which stored weights.
import type { Encoding } from '@thimble/base';

/** Sizes along the axes of a value, the batch axis left out; null where the size is not known. */
export type Shape = (number | null)[];

/** One output of a node. */
export interface Source {
  node: string;
  /** 0 for the only or first output. */
  output: number;
}

/** A value that describes how a node computes. */
export type Attribute =
  | null
  | boolean
  | number
  | string
  | Attribute[]
  | { [key: string]: Attribute };

/**
 * How an activation is coded: value = scale * (code - zeroPoint) for whole codes from `low` to `high`; one
 * scale for all of it.
 */
export interface ActivationCode {
  bits: number;
  scale: number;
  zeroPoint: number;
  low: number;
  high: number;
}

/** One application of an operation. */
export interface GraphNode {
  /** Unique in the graph. */
  name: string;
  /** What is computed: 'input', or the name of a function of `tf.layers`, such as 'conv2d'. */
  op: string;
  /** The layer that it is reported under; the applications of a shared layer have the same. */
  layer: string;
  inputs: Source[];
  /** The shape of every output. */
  outputs: Shape[];
  /** The arguments of the operation (`strides`, `activation` ...), as `tf.layers` names them. */
  attributes: Record<string, Attribute>;
  /** Keys of {@link Graph.weights} by the name that the operation gives the weight: 'kernel', 'bias' ... */
  weights: Record<string, string>;
  /** Multiply-accumulates for one example, where the operation and its shapes do not tell them. */
  macs?: number;
  /** How what it gets and gives is rounded to codes; absent or null where it is not. */
  codes?: { inputs?: (ActivationCode | null)[]; output?: ActivationCode | null };
}

/** A stored weight; several nodes may use it. */
export interface GraphWeight {
  encoding: Encoding;
  /** The values as they are computed with, row by row. */
  data?: Float32Array;
}

/** A network. Every node comes after the nodes that it takes its inputs from. */
export interface Graph {
  name: string;
  nodes: GraphNode[];
  weights: Record<string, GraphWeight>;
  /** Names of the input nodes, in the order of the network's inputs. */
  inputs: string[];
  outputs: Source[];
}
