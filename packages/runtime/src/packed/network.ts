// From a graph to operations, with batch normalisation folded and activations and residual sums fused.
import { type Encoding, ShapeError, UnsupportedError } from '@thimble/base';
import { type Graph, type GraphNode, type Source, validateGraph } from '@thimble/graph';
import { COMBINATIONS } from '@thimble/kernels/inference';
import { endingOf, isPlain } from './activations.ts';
import type { Kernel } from './lists.ts';
import type {
  Combine,
  Conv,
  Dense,
  Ending,
  Network,
  Operation,
  Reshape,
  Scale,
  Signs,
} from './operations.ts';
import { Value } from './values.ts';
import { isPadded, type Window, windowOf } from './windows.ts';

const SAME: readonly string[] = [
  'inputLayer',
  'dropout',
  'spatialDropout1d',
  'gaussianNoise',
  'gaussianDropout',
  'alphaDropout',
];
const CUT_ONLY: readonly string[] = ['activation', 'reLU', 'leakyReLU', 'elu', 'softmax'];

/** The operations of a graph. */
export function networkOf(graph: Graph): Network {
  validateGraph(graph);
  return new Reading(graph).network;
}

class Reading {
  readonly network: Network = { operations: [], inputs: [], outputs: [] };
  readonly #graph: Graph;
  readonly #values = new Map<string, Value>();
  readonly #uses = new Map<string, number>();
  /** Values that are read under more than one name. */
  readonly #shared = new Set<Value>();
  /** The operation that made a value, by the value. */
  readonly #makers = new Map<Value, Operation>();

  constructor(graph: Graph) {
    this.#graph = graph;
    for (const { inputs } of graph.nodes) for (const source of inputs) this.#use(source);
    for (const source of graph.outputs) this.#use(source);
    for (const node of graph.nodes) this.#read(node);
    for (const source of graph.outputs) {
      const { node, output } = source;
      const { outputs } = graph.nodes.find(({ name }) => name === node)!;
      this.network.outputs.push({
        name: output === 0 ? node : `${node}:${output}`,
        shape: fixed(outputs[output]!, node),
        value: this.#values.get(keyOf(source))!,
      });
    }
  }

  #use(source: Source): void {
    const key = keyOf(source);
    this.#uses.set(key, (this.#uses.get(key) ?? 0) + 1);
  }

  #read(node: GraphNode): void {
    const { op, name, attributes, outputs } = node;
    if (attributes.timeDistributed || outputs.length !== 1) throw unsupported(node);
    const shape = fixed(outputs[0]!, name);
    if (op === 'input') {
      const value = new Value(shape, false);
      this.network.inputs.push({ name, shape, value });
      this.#give(node, this.#asPlanes(value, shape, node));
      return;
    }
    const given = node.inputs.map((source, i) => this.#coded(node, i, source));
    if (SAME.includes(op)) this.#pass(node, given[0]!);
    else if (CUT_ONLY.includes(op)) this.#finish(node, given[0]!);
    else if (op === 'dense' || op === 'xnorDense') this.#dense(node, given[0]!, shape);
    else if (op === 'separableConv2d') this.#separable(node, given[0]!, shape);
    else if (/^(conv[12]d|xnorConv2d|depthwiseConv2d)$/.test(op)) {
      this.#convolution(node, given[0]!, shape);
    } else if (op === 'batchNormalization') this.#batchNormalization(node, given[0]!, shape);
    else if (/pooling[12]d$/i.test(op)) this.#pool(node, given[0]!, shape);
    else if (op === 'flatten' || op === 'reshape') this.#reshape(node, given[0]!, shape);
    else if (op === 'concatenate') this.#concatenate(node, given, shape);
    else if (op === 'zeroPadding2d') this.#pad(node, given[0]!, shape);
    else if (op in COMBINATIONS || op === 'average') this.#combine(node, given, shape);
    else throw unsupported(node);
  }

  /** The value of a source, rounded where the node rounds what it gets and has no kernel for codes. */
  #coded(node: GraphNode, i: number, source: Source): Value {
    const value = this.#values.get(keyOf(source))!;
    const round = node.codes?.inputs?.[i];
    if (!round || 'kernel' in node.weights || 'depthwiseKernel' in node.weights) return value;
    const output = this.#like(value);
    this.#add({
      kind: 'scale',
      layer: node.layer,
      input: value,
      output,
      ...identity(value),
      round,
    });
    return output;
  }

  #give(node: GraphNode, value: Value): void {
    this.#values.set(keyOf({ node: node.name, output: 0 }), value);
  }

  /** The same value under another name. */
  #pass(node: GraphNode, value: Value): void {
    if (this.#uses.get(keyOf(node.inputs[0]!)) !== 1) this.#shared.add(value);
    this.#give(node, value);
  }

  #add<O extends Operation>(operation: O): O {
    this.network.operations.push(operation);
    this.#makers.set(operation.output, operation);
    return operation;
  }

  /** Adds an operation whose value is that of a node. */
  #answer(node: GraphNode, operation: Operation): void {
    const round = node.codes?.output;
    this.#add(round ? { ...operation, round } : operation);
    this.#give(node, operation.output);
  }

  #like(value: Value): Value {
    const { height, width, channels, planes } = value;
    const made = new Value([height, width, channels], planes);
    if (planes) made.joinTo(value);
    return made;
  }

  /** Planes for images of more than one pixel; else vectors. */
  #value(shape: readonly number[]): Value {
    return new Value(shape, shape.length > 1 && shape.slice(0, -1).some((size) => size > 1));
  }

  /** A vector of a whole image as planes, where it is one. */
  #asPlanes(value: Value, shape: readonly number[], { layer }: GraphNode): Value {
    if (value.planes) return value;
    const output = this.#value(shape);
    if (!output.planes) return value;
    this.#add({ kind: 'reshape', layer, input: value, output, ...none() });
    return output;
  }

  #asVector(value: Value, node: GraphNode): Value {
    if (!value.planes) return value;
    const output = new Value([value.size], false);
    this.#add({ kind: 'reshape', layer: node.layer, input: value, output, ...none() });
    return output;
  }

  /** The maker of a value that nothing else reads, if it ends as it is. */
  #open(source: Source): Operation | undefined {
    const value = this.#values.get(keyOf(source))!;
    if (this.#uses.get(keyOf(source)) !== 1 || this.#shared.has(value)) return undefined;
    const maker = this.#makers.get(value);
    return maker && isPlain(maker) ? maker : undefined;
  }

  /** Whether a value comes from a ReLU, directly or by way of a change of shape or pooling. */
  #hasZeros(value: Value): boolean {
    const maker = this.#makers.get(value);
    if (!maker) return false;
    if (maker.low === 0) return true;
    const passes = maker.kind === 'reshape' || (maker.kind === 'pool' && !maker.mean);
    return passes && this.#hasZeros(maker.input);
  }

  /** An activation: the end of what made its input, or an operation of its own. */
  #finish(node: GraphNode, value: Value): void {
    const ending = endingOf(node);
    if (isPlain(ending)) {
      this.#pass(node, value);
      return;
    }
    const maker = node.codes ? undefined : this.#open(node.inputs[0]!);
    if (maker && endable(maker)) {
      Object.assign(maker, ending);
      this.#give(node, value);
      return;
    }
    const output = this.#like(value);
    this.#answer(node, {
      kind: 'scale',
      layer: node.layer,
      input: value,
      output,
      ...identity(value),
      ...ending,
    });
  }

  #weight(
    node: GraphNode,
    ...roles: string[]
  ): { data: Float32Array; encoding: Encoding } | undefined {
    for (const role of roles) {
      const key = node.weights[role];
      if (key === undefined) continue;
      const { data, encoding } = this.#graph.weights[key]!;
      if (!data) {
        throw new UnsupportedError(
          `layer "${node.layer}": its ${role} has no values. Lower the model with its weights.`,
        );
      }
      return { data, encoding };
    }
    return undefined;
  }

  #bias(node: GraphNode, outputs: number): Float32Array {
    return Float32Array.from(this.#weight(node, 'bias')?.data ?? new Float32Array(outputs));
  }

  /** The signs of a binary layer: batch normalisation of its own is in scale and shift. */
  #signs(node: GraphNode, channels: number): Signs | undefined {
    if (!node.op.startsWith('xnor')) return undefined;
    const magnitude = node.attributes.scaling === 'weightsAndInputs';
    const scale = new Float32Array(channels).fill(1);
    const shift = new Float32Array(channels);
    if (!node.attributes.batchNormalization) return { scale, shift, magnitude };
    return { ...this.#normalization(node, channels, XNOR_EPSILON), magnitude };
  }

  #normalization(
    node: GraphNode,
    channels: number,
    epsilon: number,
  ): { scale: Float32Array; shift: Float32Array } {
    const of = (...roles: string[]): Float32Array | undefined => this.#weight(node, ...roles)?.data;
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

  #dense(node: GraphNode, value: Value, shape: number[]): void {
    const { data, encoding } = this.#weight(node, 'kernel')!;
    const [inputs, outputs] = encoding.shape as [number, number];
    const ending = endingOf(node);
    if (value.planes) {
      const kernel = { data, height: 1, width: 1, inputs, outputs, separate: false };
      this.#conv(node, value, kernel, encoding, POINT, shape, ending);
      return;
    }
    if (value.size !== inputs) throw unsupported(node);
    const operation: Dense = {
      kind: 'dense',
      layer: node.layer,
      input: value,
      output: this.#value(shape),
      data,
      inputs,
      outputs,
      encoding,
      scale: new Float32Array(outputs).fill(1),
      bias: this.#bias(node, outputs),
      someZero: this.#hasZeros(value),
      ...ending,
    };
    this.#answer(node, withOptional(operation, node, this.#signs(node, inputs)));
  }

  #convolution(node: GraphNode, given: Value, shape: number[]): void {
    const separate = node.op === 'depthwiseConv2d';
    const { data, encoding } = this.#weight(node, separate ? 'depthwiseKernel' : 'kernel')!;
    const kernel = kernelOf(data, encoding, separate);
    const value = this.#asPlanes(given, [given.height, given.width, given.channels], node);
    // The depthwise layer of tfjs takes a dilation rate and computes without.
    const attributes = separate ? { ...node.attributes, dilationRate: 1 } : node.attributes;
    const size = [kernel.height, kernel.width] as [number, number];
    const window = windowOf({ ...node, attributes }, size, value, sizeOf(shape));
    this.#conv(node, value, kernel, encoding, window, shape, endingOf(node));
  }

  #conv(
    node: GraphNode,
    value: Value,
    kernel: Kernel,
    encoding: Encoding,
    window: Window,
    shape: number[],
    ending: Ending,
  ): void {
    const { inputs, outputs, height, width } = kernel;
    const [rows, columns] = [value.height, value.width];
    const single = shape.slice(0, -1).every((size) => size === 1);
    const covers = height === rows && width === columns && !kernel.separate && !isPadded(window);
    if (single && covers && window.dilationHeight === 1 && window.dilationWidth === 1) {
      if (!node.op.startsWith('xnor')) {
        const flat = { ...encoding, shape: [height * width * inputs, outputs] };
        const vector = this.#asVector(value, node);
        const operation: Dense = {
          kind: 'dense',
          layer: node.layer,
          input: vector,
          output: this.#value(shape),
          data: kernel.data,
          inputs: vector.size,
          outputs,
          encoding: withAxis(flat, encoding, outputs),
          scale: new Float32Array(outputs).fill(1),
          bias: this.#bias(node, outputs),
          someZero: this.#hasZeros(value),
          ...ending,
        };
        this.#answer(node, withOptional(operation, node, undefined));
        return;
      }
    }
    const planes = value.planes ? value : this.#spread(value, node);
    const operation: Conv = {
      kind: 'conv',
      layer: node.layer,
      input: planes,
      output: new Value(shape, true),
      kernel,
      window,
      encoding,
      scale: new Float32Array(outputs).fill(1),
      bias: this.#bias(node, outputs),
      ...ending,
    };
    this.#answer(node, withOptional(operation, node, this.#signs(node, inputs)));
  }

  /** A vector of one pixel as planes. */
  #spread(value: Value, { layer }: GraphNode): Value {
    const output = new Value([value.height, value.width, value.channels], true);
    this.#add({ kind: 'reshape', layer, input: value, output, ...none() });
    return output;
  }

  /** A depthwise convolution, and one of single pixels with the bias and the activation. */
  #separable(node: GraphNode, value: Value, shape: number[]): void {
    if (node.codes) throw unsupported(node);
    const depthwise = this.#weight(node, 'depthwiseKernel')!;
    const pointwise = this.#weight(node, 'pointwiseKernel')!;
    const middleShape = [...shape.slice(0, -1), pointwise.encoding.shape.at(-2)!];
    const middle = { ...node, name: `${node.name}/depthwise`, weights: {} };
    const first = kernelOf(depthwise.data, depthwise.encoding, true);
    const window = windowOf(node, [first.height, first.width], value, sizeOf(shape));
    this.#conv(middle, value, first, depthwise.encoding, window, middleShape, none());
    const between = this.#values.get(keyOf({ node: middle.name, output: 0 }))!;
    const second = kernelOf(pointwise.data, pointwise.encoding, false);
    this.#conv(node, between, second, pointwise.encoding, POINT, shape, endingOf(node));
  }

  #batchNormalization(node: GraphNode, value: Value, shape: number[]): void {
    const { axis, epsilon } = node.attributes;
    if (axis !== -1 && axis !== shape.length) throw unsupported(node);
    const { scale, shift } = this.#normalization(node, shape.at(-1)!, epsilon as number);
    const maker = node.codes ? undefined : this.#open(node.inputs[0]!);
    if ((maker?.kind === 'conv' && !maker.residual) || maker?.kind === 'dense') {
      for (let c = 0; c < scale.length; c++) {
        maker.scale[c]! *= scale[c]!;
        maker.bias[c] = maker.bias[c]! * scale[c]! + shift[c]!;
      }
      this.#give(node, value);
      return;
    }
    const output = this.#like(value);
    this.#answer(node, {
      kind: 'scale',
      layer: node.layer,
      input: value,
      output,
      scale,
      shift,
      ...none(),
    });
  }

  #pool(node: GraphNode, value: Value, shape: number[]): void {
    const mean = /average/i.test(node.op);
    if (/^global/.test(node.op)) {
      const planes = value.planes ? value : this.#spread(value, node);
      const output = new Value(shape, false);
      this.#answer(node, {
        kind: 'pool',
        layer: node.layer,
        input: planes,
        output,
        mean,
        ...none(),
      });
      return;
    }
    const planes = value.planes ? value : this.#spread(value, node);
    const window = windowOf(node, undefined, value, sizeOf(shape));
    const output = new Value(shape, true);
    this.#answer(node, {
      kind: 'pool',
      layer: node.layer,
      input: planes,
      output,
      window,
      mean,
      ...none(),
    });
  }

  #reshape(node: GraphNode, value: Value, shape: number[]): void {
    const output = this.#value(shape);
    if (!value.planes && !output.planes) {
      this.#pass(node, value);
      return;
    }
    const operation: Reshape = {
      kind: 'reshape',
      layer: node.layer,
      input: value,
      output,
      ...none(),
    };
    this.#answer(node, operation);
  }

  #concatenate(node: GraphNode, given: Value[], shape: number[]): void {
    const { axis } = node.attributes;
    if (axis !== -1 && axis !== shape.length) throw unsupported(node);
    const output = new Value(
      shape,
      given.some(({ planes }) => planes),
    );
    const inputs = given.map((value) =>
      output.planes && !value.planes ? this.#spread(value, node) : value,
    );
    this.#answer(node, { kind: 'concatenate', layer: node.layer, inputs, output, ...none() });
  }

  #pad(node: GraphNode, value: Value, shape: number[]): void {
    const padding = node.attributes.padding as number[][];
    if (node.attributes.dataFormat === 'channelsFirst' || !value.planes) throw unsupported(node);
    const [[top], [left]] = padding as [[number], [number]];
    const output = new Value(shape, true);
    this.#answer(node, {
      kind: 'pad',
      layer: node.layer,
      input: value,
      output,
      top,
      left,
      ...none(),
    });
  }

  #combine(node: GraphNode, given: Value[], shape: number[]): void {
    const [first, second] = given as [Value, Value];
    if (given.some(({ size, planes }) => size !== first.size || planes !== first.planes)) {
      throw unsupported(node, 'inputs of different shapes');
    }
    if (node.op === 'add' && given.length === 2 && !node.codes && first !== second) {
      const fused =
        this.#fuseResidual(node, first, second) ?? this.#fuseResidual(node, second, first);
      if (fused) {
        this.#give(node, fused);
        return;
      }
    }
    const output = new Value(shape, first.planes);
    const combine: Combine = {
      kind: 'combine',
      layer: node.layer,
      inputs: given,
      output,
      how: COMBINATIONS[node.op === 'average' ? 'add' : (node.op as keyof typeof COMBINATIONS)],
      factor: node.op === 'average' ? Math.fround(1 / given.length) : 1,
      ...none(),
    };
    this.#answer(node, combine);
  }

  /** Lets the convolution that made `value` add `other`, which must be there before it. */
  #fuseResidual(node: GraphNode, value: Value, other: Value): Value | undefined {
    const source = node.inputs.find((input) => this.#values.get(keyOf(input)) === value)!;
    const maker = this.#open(source);
    if (maker?.kind !== 'conv' || maker.residual || maker.signs || maker.kernel.separate)
      return undefined;
    const { operations } = this.network;
    const before = operations.findIndex(({ output }) => output === other);
    if (before > operations.indexOf(maker)) return undefined;
    maker.residual = other;
    return value;
  }
}

const XNOR_EPSILON = 1e-4;

const POINT: Window = {
  height: 1,
  width: 1,
  strideHeight: 1,
  strideWidth: 1,
  dilationHeight: 1,
  dilationWidth: 1,
  top: 0,
  left: 0,
  bottom: 0,
  right: 0,
};

function none(): Ending {
  return { low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY };
}

function identity({ channels }: Value): Pick<Scale, 'scale' | 'shift' | keyof Ending> {
  const scale = new Float32Array(channels).fill(1);
  return { scale, shift: new Float32Array(channels), ...none() };
}

/** Operations that can end with a cut or a curve. */
function endable({ kind }: Operation): boolean {
  return kind === 'conv' || kind === 'dense' || kind === 'scale' || kind === 'combine';
}

function withOptional<O extends Conv | Dense>(operation: O, node: GraphNode, signs?: Signs): O {
  const codes = node.codes?.inputs?.[0];
  return { ...operation, ...(codes ? { codes } : {}), ...(signs ? { signs } : {}) };
}

/** The encoding of a kernel seen as a matrix: its scales, if there is one per output, lie along axis 1. */
function withAxis(flat: Encoding, { shape, values }: Encoding, outputs: number): Encoding {
  if (!('axis' in values) || values.axis === null || values.axis === undefined) return flat;
  const axis = values.axis === shape.length - 1 && shape.at(-1) === outputs ? 1 : 0;
  return { ...flat, values: { ...values, axis } };
}

function kernelOf(data: Float32Array, { shape }: Encoding, separate: boolean): Kernel {
  const [inputs, last] = shape.slice(-2) as [number, number];
  const [height, width] = shape.length === 3 ? [1, shape[0]!] : (shape as [number, number]);
  return { data, height, width, inputs, outputs: separate ? inputs * last : last, separate };
}

function sizeOf(shape: readonly number[]): { height: number; width: number } {
  return { height: shape.length > 2 ? shape[0]! : 1, width: shape.at(-2) ?? 1 };
}

function keyOf({ node, output }: Source): string {
  return `${output}:${node}`;
}

function fixed(shape: readonly (number | null)[], name: string): number[] {
  if (shape.includes(null)) {
    throw new ShapeError(
      `"${name}" has the open shape [${shape.map((n) => n ?? 'null')}]. Give the model's inputs whole shapes.`,
    );
  }
  return shape as number[];
}

function unsupported({ op, layer, attributes }: GraphNode, why?: string): UnsupportedError {
  const wrapped = attributes.timeDistributed ? ' in TimeDistributed' : '';
  return new UnsupportedError(
    `layer "${layer}": the packed runtime cannot run ${op}${wrapped}${why ? ` with ${why}` : ''}. ` +
      'Run this model with TensorFlow.js, or replace the layer.',
  );
}
