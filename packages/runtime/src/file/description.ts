// The description of a network as JSON text:
//
//   { name, nodes, inputs?, outputs?, labels?, preprocessing?, report? }
//   a node: [op, name, inputs, shapes of outputs, attributes?, weights?, codes?, layer?]
//   inputs: the number of nodes back minus 1 of the only input (0: the node before), or a list of such
//     numbers, or of [number, output]
//   weights: the names that the operation gives them, where their key is "layer/name"; or [name, key]
//   inputs and outputs of the network are left out where they are all input nodes, and the last node
import { DataError, NoMatchError, ShapeError } from '@thimble/base';
import {
  type Attribute,
  type Graph,
  type GraphNode,
  type Shape,
  type Source,
  validateGraph,
} from '@thimble/graph';
import { corrupt } from './reader.ts';

/** What a file says beside the network. */
export interface FileNotes {
  /** Names of the classes. */
  labels?: string[];
  /** What is to be done to inputs, in the words of whoever wrote the file. */
  preprocessing?: Attribute;
  /** How the network was compressed. */
  report?: Attribute;
}

const MOST_DEPTH = 32;

type Json = Attribute;
type List = Json[];
type Dictionary = { [key: string]: Json };

/** A graph without weights, the keys of the weights in the order of their values, and the notes. */
export interface Description {
  graph: Graph;
  keys: string[];
  notes: FileNotes;
}

/** Reads a description. @throws {FileFormatError} for text that is none. */
export function parseDescription(text: string): Description {
  if (text.includes('__proto__')) throw corrupt('its description has a forbidden name');
  let json: Json;
  try {
    json = JSON.parse(text) as Json;
  } catch {
    throw corrupt('its description is not JSON');
  }
  checkDepth(json, 0);
  const { name, nodes, inputs, outputs, labels, preprocessing, report } = dictionary(json);
  const graph: Graph = { name: textOf(name), nodes: [], weights: {}, inputs: [], outputs: [] };
  const keys = new Set<string>();
  for (const node of list(nodes)) graph.nodes.push(readNode(node, graph.nodes, keys));
  graph.inputs = inputs === undefined ? inputNames(graph) : list(inputs).map(textOf);
  graph.outputs = outputs === undefined ? lastOutput(graph) : list(outputs).map(readOutput);
  const notes: FileNotes = {
    ...(labels === undefined ? {} : { labels: list(labels).map(textOf) }),
    ...(preprocessing === undefined ? {} : { preprocessing }),
    ...(report === undefined ? {} : { report }),
  };
  return { graph, keys: [...keys], notes };
}

/** @throws {FileFormatError} where the graph does not hang together. */
export function checkGraph(graph: Graph): void {
  try {
    validateGraph(graph);
  } catch (error) {
    const known =
      error instanceof DataError || error instanceof NoMatchError || error instanceof ShapeError;
    throw known ? corrupt(error.message.replace(/\.$/, '')) : error;
  }
}

/** Names of all input nodes. */
export function inputNames({ nodes }: Pick<Graph, 'nodes'>): string[] {
  return nodes.filter(({ op }) => op === 'input').map(({ name }) => name);
}

/** The first output of the last node. */
export function lastOutput({ nodes }: Pick<Graph, 'nodes'>): Source[] {
  const last = nodes.at(-1);
  return last ? [{ node: last.name, output: 0 }] : [];
}

function readNode(json: Json, before: GraphNode[], keys: Set<string>): GraphNode {
  const [op, name, inputs, shapes, attributes = {}, weights = [], codes, layer] = list(json);
  const node: GraphNode = {
    name: textOf(name),
    op: textOf(op),
    layer: layer === undefined ? textOf(name) : textOf(layer),
    inputs: (typeof inputs === 'number' ? [inputs] : list(inputs)).map((input) =>
      readSource(input, before),
    ),
    outputs: list(shapes).map(readShape),
    attributes: dictionary(attributes),
    weights: {},
  };
  for (const weight of list(weights)) {
    const [role, key] =
      typeof weight === 'string' ? [weight, `${node.layer}/${weight}`] : list(weight).map(textOf);
    if (role === undefined || key === undefined) throw corrupt('a weight has no name');
    node.weights[role] = key;
    keys.add(key);
  }
  if (codes) node.codes = readCodes(dictionary(codes));
  return node;
}

function readSource(json: Json, before: GraphNode[]): Source {
  const [back, output] = typeof json === 'number' ? [json, 0] : list(json);
  const source = before[before.length - 1 - whole(back)];
  if (!source) throw corrupt('a node takes its input from one that does not come before it');
  return { node: source.name, output: whole(output) };
}

function readOutput(json: Json): Source {
  const [node, output] = list(json);
  return { node: textOf(node), output: whole(output) };
}

function readShape(json: Json): Shape {
  return list(json).map((size) => (size === null ? null : whole(size)));
}

type Codes = NonNullable<GraphNode['codes']>;

function readCodes({ inputs, output }: Dictionary): Codes {
  const code = (json: Json) => {
    if (json === null) return null;
    const [bits, scale, zeroPoint, low, high] = list(json).map(number);
    if (high === undefined) throw corrupt('the code of an activation is incomplete');
    return { bits: bits!, scale: scale!, zeroPoint: zeroPoint!, low: low!, high };
  };
  return {
    ...(inputs === undefined ? {} : { inputs: list(inputs).map(code) }),
    ...(output === undefined ? {} : { output: code(output) }),
  };
}

function checkDepth(json: Json, depth: number): void {
  if (json === null || typeof json !== 'object') return;
  if (depth > MOST_DEPTH) throw corrupt('its description is nested too deep');
  for (const child of Object.values(json)) checkDepth(child, depth + 1);
}

function list(json: Json | undefined): List {
  if (!Array.isArray(json)) throw corrupt('its description lacks a list');
  return json;
}

function dictionary(json: Json | undefined): Dictionary {
  if (json === null || typeof json !== 'object' || Array.isArray(json)) {
    throw corrupt('its description lacks an object');
  }
  return json;
}

function textOf(json: Json | undefined): string {
  if (typeof json !== 'string') throw corrupt('its description lacks a text');
  return json;
}

function number(json: Json | undefined): number {
  if (typeof json !== 'number' || !Number.isFinite(json)) {
    throw corrupt('its description lacks a number');
  }
  return json;
}

function whole(json: Json | undefined): number {
  const value = number(json);
  if (!Number.isInteger(value) || value < 0 || value > 2 ** 31) {
    throw corrupt(`${value} is out of range`);
  }
  return value;
}
