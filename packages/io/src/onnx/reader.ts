// What is known of an ONNX graph while it is read, and the graph that it becomes.
import { type Encoding, FileFormatError, sizeOf, UnsupportedError } from '@thimble/base';
import type { ActivationCode, Attribute, Graph, GraphNode, Shape, Source } from '@thimble/graph';
import { type Constant, constantOf } from './constants.ts';
import { permuted } from './export-weights.ts';
import type { OnnxGraph, OnnxNode, OnnxTensor } from './messages.ts';

/** A value that is computed. */
export interface Value {
  source: Source;
  /** As the graph has it: channels last, without the batch axis. */
  shape: Shape;
  /**
   * Where ONNX has the channels: 'last' as the graph does, 'first', 'flat': a vector that in ONNX was made of
   * an image with its channels first; 'pooled': a vector that in ONNX has spatial axes of size 1 behind it.
   */
  layout: 'last' | 'first' | 'flat' | 'pooled';
  /** Of a 'flat' value: the shape of that image, channels last. Of a 'pooled' one: ones, and the channels. */
  image?: Shape;
  /** How it is rounded before it is used. */
  code?: ActivationCode;
  /** The range that it is cut to when it is rounded next. */
  range?: [number, number];
  /** Whether it is known to have nothing below 0. */
  positive?: boolean;
}

/** A node of the graph in the making. */
export interface NodeParts {
  op: string;
  attributes?: Record<string, Attribute>;
  inputs: Value[];
  shape: Shape;
  weights?: Record<string, string>;
}

/** Beyond this a network is taken for an attack: TensorFlow.js recurses over the layers. */
const MOST_NODES = 4096;

export class OnnxReader {
  readonly graph: Graph = { name: 'onnx', nodes: [], weights: {}, inputs: [], outputs: [] };
  readonly values: Map<string, Value> = new Map();
  /** Values rounded to codes: what comes out of QuantizeLinear. */
  readonly codes: Map<string, Value> = new Map();
  /** The version of the operators. */
  readonly opset: number;
  /** Nodes that are part of what another one became. */
  readonly done: Set<OnnxNode> = new Set();
  readonly #tensors: Map<string, OnnxTensor>;
  readonly #constants = new Map<string, Constant>();
  readonly #users = new Map<string, OnnxNode[]>();
  readonly #outputs: Set<string>;
  readonly #names = new Set<string>(['']);
  /** Numbers that weights may still have. */
  #budget: number;

  constructor(file: OnnxGraph, opset: number, bytes: number) {
    this.opset = opset;
    if (file.nodes.length > MOST_NODES) {
      throw new UnsupportedError(
        `fromOnnx: ${file.nodes.length} nodes; at most ${MOST_NODES} are read.`,
      );
    }
    this.#budget = 2 * bytes + 2 ** 16;
    this.#tensors = new Map(file.initializers.map((tensor) => [tensor.name ?? '', tensor]));
    this.#outputs = new Set(file.outputs.map(({ name }) => name ?? ''));
    for (const node of file.nodes) {
      for (const input of new Set(node.inputs)) {
        const users = this.#users.get(input);
        if (users) users.push(node);
        else this.#users.set(input, [node]);
      }
    }
  }

  /** A name that layers may have and none has yet. */
  free(wanted: string): string {
    const name = wanted.replace(/[^A-Za-z0-9._-]/g, '_').replace(/^[^A-Za-z0-9]+/, '') || 'node';
    let free = name;
    for (let i = 1; this.#names.has(free); i++) free = `${name}_${i}`;
    this.#names.add(free);
    return free;
  }

  /** The nodes that use a value. */
  users(name: string): readonly OnnxNode[] {
    return this.#users.get(name) ?? [];
  }

  isOutput(name: string): boolean {
    return this.#outputs.has(name);
  }

  /** The only node that uses a value which is no output; undefined where there is none such. */
  onlyUser(name: string): OnnxNode | undefined {
    const users = this.users(name);
    return users.length === 1 && !this.#outputs.has(name) ? users[0] : undefined;
  }

  isConstant(name: string | undefined): boolean {
    return name !== undefined && (this.#constants.has(name) || this.#tensors.has(name));
  }

  setConstant(name: string, value: Constant): void {
    this.#constants.set(name, value);
  }

  /** A value that must be known beforehand. */
  constant(node: OnnxNode, index: number): Constant {
    const found = this.optional(node, index);
    if (found) return found;
    throw new UnsupportedError(
      `${at(node)} computes its input ${index}, "${node.inputs[index] ?? ''}"; it must be a constant. Fold constants first (onnxsim).`,
    );
  }

  /** The same, undefined where the node has no such input or it is computed. */
  optional(node: OnnxNode, index: number): Constant | undefined {
    const name = node.inputs[index];
    if (name === undefined || name === '') return undefined;
    const known = this.#constants.get(name);
    if (known) return known;
    const tensor = this.#tensors.get(name);
    if (!tensor) return undefined;
    const constant = constantOf(tensor);
    this.#constants.set(name, constant);
    return constant;
  }

  /** A value that is computed. */
  value(node: OnnxNode, index: number): Value {
    const name = node.inputs[index] ?? '';
    const value = this.values.get(name);
    if (value) return value;
    if (this.isConstant(name)) {
      throw new UnsupportedError(`${at(node)} has the constant "${name}" as its input ${index}.`);
    }
    throw new FileFormatError(
      `${at(node)} takes "${name}", which no node before it gives. The nodes must be in order.`,
    );
  }

  /** Adds a node to the graph; returns its value with the layout given. */
  add(wanted: string, parts: NodeParts, layout: Value['layout'] = 'last'): Value {
    const { op, attributes = {}, inputs, shape, weights = {} } = parts;
    if (shape.some((size) => size !== null && !(size >= 1))) {
      throw new FileFormatError(`fromOnnx: "${wanted}" would give the sizes [${shape}].`);
    }
    const name = this.free(wanted);
    const keys: Record<string, string> = {};
    for (const [role, key] of Object.entries(weights)) {
      keys[role] = `${name}/${role}`;
      this.graph.weights[keys[role]] = this.graph.weights[key]!;
      delete this.graph.weights[key];
    }
    const codes = inputs.map(({ code }) => code ?? null);
    const node: GraphNode = {
      name,
      op,
      layer: name,
      inputs: inputs.map(({ source }) => source),
      outputs: [shape],
      attributes,
      weights: keys,
      ...(codes.some(Boolean) ? { codes: { inputs: codes } } : {}),
    };
    this.graph.nodes.push(node);
    return { source: { node: name, output: 0 }, shape, layout };
  }

  /** Keeps a weight until its node is added; returns the key for it. */
  weight(
    { data, dims, steps }: Constant,
    view: number[] = dims,
    perm: number[] = view.map((_, i) => i),
    shape: number[] = perm.map((axis) => view[axis]!),
    axis: number | null = null,
  ): string {
    this.#budget -= data.length;
    if (this.#budget < 0) {
      throw new FileFormatError('fromOnnx: its weights are used more often than a network would.');
    }
    const values = permuted(Float32Array.from(data), view, perm);
    const keyed = steps && (steps.axis === null || axis !== null);
    const scales = keyed && axis !== null && steps.axis !== null ? shape[axis]! : 1;
    let nonzero = 0;
    for (const value of values) if (value !== 0) nonzero++;
    const encoding: Encoding =
      keyed && steps.scale.length === scales
        ? {
            shape,
            nonzero,
            values: { type: 'affine', bits: 8, ...steps, axis: steps.axis === null ? null : axis },
          }
        : { shape, nonzero, values: { type: 'float', bits: 32 } };
    const key = `*${Object.keys(this.graph.weights).length}`;
    this.graph.weights[key] = { encoding, data: values };
    return key;
  }

  /** The sizes that ONNX sees, without the batch axis. */
  sizes({ shape, layout, image }: Value): Shape {
    if (layout === 'first') return [shape.at(-1)!, ...shape.slice(0, -1)];
    if (layout === 'pooled') return [shape[0]!, ...image!.slice(0, -1)];
    return shape;
  }

  /** The same value with the axes of the graph being those of ONNX. */
  last(value: Value, name: string): Value {
    const { shape, layout, image } = value;
    if (layout === 'last') return value;
    if (layout === 'first') {
      const axes = shape.map((_, i) => i + 1);
      return this.#permuted(value, [axes.length, ...axes.slice(0, -1)], name, 'last');
    }
    const whole = this.reshaped(value, image!, 'first', `${name}_image`);
    const turned = this.last(whole, name);
    return layout === 'pooled' ? turned : this.reshaped(turned, shape, 'last', `${name}_flat`);
  }

  /** The same value as an image whose channels ONNX has in front. */
  first(value: Value, name: string): Value {
    const { shape, layout, image } = value;
    if (layout === 'first') return value;
    if (layout === 'pooled') return this.reshaped(value, image!, 'first', `${name}_image`);
    const axes = shape.map((_, i) => i + 1);
    return this.#permuted(value, [...axes.slice(1), 1], name, 'first');
  }

  /** Numbers in another arrangement. */
  reshaped(value: Value, shape: Shape, layout: Value['layout'], name: string): Value {
    if (shape.includes(null)) {
      throw new UnsupportedError(`fromOnnx: "${name}" reshapes to open sizes, [${shape}].`);
    }
    if (sizeOf(shape as number[]) !== sizeOf(value.shape as number[])) {
      throw new FileFormatError(`fromOnnx: "${name}" makes [${shape}] of [${value.shape}].`);
    }
    const parts = {
      op: 'reshape',
      attributes: { targetShape: shape },
      inputs: [plain(value)],
      shape,
    };
    return keeping(value, this.add(name, parts, layout));
  }

  #permuted(value: Value, dims: number[], name: string, layout: Value['layout']): Value {
    const shape = dims.map((axis) => value.shape[axis - 1]!);
    const parts = { op: 'permute', attributes: { dims }, inputs: [plain(value)], shape };
    return keeping(value, this.add(`${name}_${layout}`, parts, layout));
  }

  /** Axes of the graph in another order, as ONNX counts them with the batch in front. */
  permute(value: Value, dims: number[], name: string): Value {
    return this.#permuted(value, dims, name, 'last');
  }
}

/** A value that is moved, not computed with: it is rounded where it is used. */
function plain({ code: _, ...value }: Value): Value {
  return value;
}

function keeping({ code, positive }: Value, made: Value): Value {
  return { ...made, ...(code ? { code } : {}), ...(positive ? { positive } : {}) };
}

/** The beginning of a message about a node. */
export function at({ name, op, outputs }: OnnxNode): string {
  return `fromOnnx: node "${name || outputs[0] || ''}", a ${op},`;
}
