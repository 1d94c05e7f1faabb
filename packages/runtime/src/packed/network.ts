// From a graph to operations, with batch normalisation folded and activations and residual sums fused.
import type { Encoding } from '@thimble/base';
import { type Graph, type GraphNode, plainGraph, type Source } from '@thimble/graph';
import { COMBINATIONS } from '@thimble/kernels/inference';
import { endingOf, isPlain } from './activations.ts';
import type { Kernel } from './lists.ts';
import { LOWERED } from './lowered/index.ts';
import type { Builder } from './lowered/lowering.ts';
import {
  endable,
  fixed,
  identity,
  kernelOf,
  none,
  POINT,
  sizeOf,
  unsupported,
  withAxis,
  withOptional,
} from './node-parts.ts';
import {
  biasOf,
  checkKernel,
  normalizationOf,
  signsOf,
  type Weight,
  weightOf,
} from './node-weights.ts';
import type { Combine, Conv, Dense, Ending, Network, Signs } from './operations.ts';
import { REARRANGING } from './rearranging.ts';
import { skipping } from './skipping.ts';
import { Value } from './values.ts';
import type { View } from './view.ts';
import { isPadded, type Window, windowOf } from './windows.ts';
import { Wiring } from './wiring.ts';

const SAME: readonly string[] = [
  'inputLayer',
  'dropout',
  'spatialDropout1d',
  'gaussianNoise',
  'gaussianDropout',
  'alphaDropout',
];
const CUT_ONLY: readonly string[] = [
  'activation',
  'binaryActivation',
  'elu',
  'leakyReLU',
  'reLU',
  'softmax',
];
/** Those that compute the same for each place, so that time steps are places. */
const BY_PLACE: readonly string[] = [...SAME, ...CUT_ONLY, 'dense', 'rescaling'];

/** The operations of a graph that hangs together. */
export function networkOf(graph: Graph): Network {
  return skipping(new Reading(plainGraph(graph)).network);
}

class Reading implements Builder {
  readonly graph: Graph;
  readonly wiring: Wiring;

  constructor(graph: Graph) {
    this.graph = graph;
    this.wiring = new Wiring(graph);
    for (const node of graph.nodes) this.#read(node);
    for (const source of graph.outputs) {
      const { node, output } = source;
      const { outputs } = graph.nodes.find(({ name }) => name === node)!;
      this.wiring.network.outputs.push({
        name: output === 0 ? node : `${node}:${output}`,
        shape: fixed(outputs[output]!, node),
        value: this.wiring.of(source),
      });
    }
  }

  #read(node: GraphNode): void {
    const { op, name, attributes, outputs } = node;
    const inSteps = attributes.timeDistributed && !BY_PLACE.includes(op);
    if (inSteps || outputs.length !== 1) throw unsupported(node);
    const shape = fixed(outputs[0]!, name);
    if (op === 'input') {
      const value = new Value(shape, false);
      this.wiring.network.inputs.push({ name, shape, value });
      this.wiring.give(node, this.wiring.asPlanes(value, shape, node));
      return;
    }
    if (op in REARRANGING) {
      this.#rearrange(node, shape);
      return;
    }
    const given = node.inputs.map((source, i) => this.#coded(node, i, source));
    if (SAME.includes(op)) this.wiring.pass(node, given[0]!);
    else if (CUT_ONLY.includes(op)) this.#finish(node, given[0]!);
    else if (op === 'dense' || op === 'xnorDense') this.#dense(node, given[0]!, shape);
    else if (op === 'separableConv2d') this.#separable(node, given[0]!, shape);
    else if (/^(conv[12]d|xnorConv2d|depthwiseConv2d)$/.test(op)) {
      this.#convolution(node, given[0]!, shape);
    } else if (op === 'batchNormalization') this.#batchNormalization(node, given[0]!, shape);
    else if (/pooling[12]d$/i.test(op)) this.#pool(node, given[0]!, shape);
    else if (op === 'concatenate') this.#concatenate(node, given, shape);
    else if (op in COMBINATIONS || op === 'average') this.#combine(node, given, shape);
    else if (op in LOWERED) LOWERED[op]!(this, node, given, shape);
    else throw unsupported(node);
  }

  get network(): Network {
    return this.wiring.network;
  }

  /** The value of a source, rounded where the node rounds what it gets and has no kernel for codes. */
  #coded(node: GraphNode, i: number, source: Source): Value {
    const value = this.wiring.of(source);
    const round = node.codes?.inputs?.[i];
    if (!round || 'kernel' in node.weights || 'depthwiseKernel' in node.weights) return value;
    const output = this.wiring.like(value);
    this.wiring.add({
      kind: 'scale',
      layer: node.layer,
      input: value,
      output,
      ...identity(value),
      round,
    });
    return output;
  }

  /** An activation: the end of what made its input, or an operation of its own. */
  #finish(node: GraphNode, value: Value): void {
    const ending = endingOf(node);
    if (isPlain(ending)) {
      this.wiring.pass(node, value);
      return;
    }
    const maker = node.codes ? undefined : this.wiring.open(node.inputs[0]!);
    if (maker && endable(maker)) {
      Object.assign(maker, ending);
      this.wiring.give(node, value);
      return;
    }
    const output = this.wiring.like(value);
    this.wiring.answer(node, {
      kind: 'scale',
      layer: node.layer,
      input: value,
      output,
      ...identity(value),
      ...ending,
    });
  }

  #dense(node: GraphNode, value: Value, shape: number[]): void {
    const weight = weightOf(this.graph, node, 'kernel')!;
    const { encoding } = weight;
    const [inputs, outputs] = encoding.shape as [number, number];
    const ending = endingOf(node);
    if (value.planes) {
      const kernel = { data: weight.data, height: 1, width: 1, inputs, outputs, separate: false };
      this.conv(node, value, kernel, encoding, POINT, shape, ending);
      return;
    }
    if (value.size !== inputs) throw unsupported(node);
    this.#product(node, value, weight, shape, ending, signsOf(this.graph, node, inputs));
  }

  /** The product of a vector and a kernel that is a matrix. */
  #product(
    node: GraphNode,
    input: Value,
    weight: Weight,
    shape: number[],
    ending: Ending,
    signs?: Signs,
  ): void {
    const { encoding } = weight;
    const [inputs, outputs] = encoding.shape as [number, number];
    const output = this.wiring.value(shape);
    checkKernel(node, { inputs, outputs }, input.size, output.size);
    const operation: Dense = {
      kind: 'dense',
      layer: node.layer,
      input,
      output,
      weight,
      inputs,
      outputs,
      encoding,
      scale: new Float32Array(outputs).fill(1),
      bias: biasOf(this.graph, node, outputs),
      someZero: this.wiring.hasZeros(input),
      ...ending,
    };
    this.wiring.answer(node, withOptional(operation, node, signs));
  }

  #convolution(node: GraphNode, given: Value, shape: number[]): void {
    const separate = node.op === 'depthwiseConv2d';
    const { data, encoding } = weightOf(this.graph, node, separate ? 'depthwiseKernel' : 'kernel')!;
    const kernel = kernelOf(data, encoding, separate);
    const value = this.wiring.asPlanes(given, [given.height, given.width, given.channels], node);
    // The depthwise layer of tfjs takes a dilation rate and computes without.
    const attributes = separate ? { ...node.attributes, dilationRate: 1 } : node.attributes;
    const size = [kernel.height, kernel.width] as [number, number];
    const window = windowOf({ ...node, attributes }, size, value, sizeOf(shape));
    this.conv(node, value, kernel, encoding, window, shape, endingOf(node));
  }

  conv(
    node: GraphNode,
    value: Value,
    kernel: Kernel,
    encoding: Encoding,
    window: Window,
    shape: number[],
    ending: Ending,
  ): void {
    const { inputs, outputs, height, width } = kernel;
    checkKernel(node, kernel, value.channels, shape.at(-1));
    const [rows, columns] = [value.height, value.width];
    const single = shape.slice(0, -1).every((size) => size === 1);
    const covers = height === rows && width === columns && !kernel.separate && !isPadded(window);
    const spaced = window.dilationHeight > 1 || window.dilationWidth > 1;
    if (single && covers && !spaced && !node.op.startsWith('xnor')) {
      const flat = { ...encoding, shape: [height * width * inputs, outputs] };
      const vector = this.wiring.asVector(value, node);
      const matrix = { data: kernel.data, encoding: withAxis(flat, encoding, outputs) };
      this.#product(node, vector, matrix, shape, ending);
      return;
    }
    const planes = value.planes ? value : this.wiring.spread(value, node);
    const operation: Conv = {
      kind: 'conv',
      layer: node.layer,
      input: planes,
      output: new Value(shape, true),
      kernel,
      window,
      encoding,
      scale: new Float32Array(outputs).fill(1),
      bias: biasOf(this.graph, node, outputs),
      ...ending,
    };
    this.wiring.answer(node, withOptional(operation, node, signsOf(this.graph, node, inputs)));
  }

  /** A depthwise convolution, and one of single pixels with the bias and the activation. */
  #separable(node: GraphNode, value: Value, shape: number[]): void {
    if (node.codes) throw unsupported(node);
    const depthwise = weightOf(this.graph, node, 'depthwiseKernel')!;
    const pointwise = weightOf(this.graph, node, 'pointwiseKernel')!;
    const middleShape = [...shape.slice(0, -1), pointwise.encoding.shape.at(-2)!];
    const middle = { ...node, name: `${node.name}/depthwise`, weights: {} };
    const first = kernelOf(depthwise.data, depthwise.encoding, true);
    const window = windowOf(node, [first.height, first.width], value, sizeOf(shape));
    this.conv(middle, value, first, depthwise.encoding, window, middleShape, none());
    const between = this.wiring.of({ node: middle.name, output: 0 });
    const second = kernelOf(pointwise.data, pointwise.encoding, false);
    this.conv(node, between, second, pointwise.encoding, POINT, shape, endingOf(node));
  }

  #batchNormalization(node: GraphNode, value: Value, shape: number[]): void {
    const { axis, epsilon } = node.attributes;
    if (axis !== -1 && axis !== shape.length) throw unsupported(node);
    const { scale, shift } = normalizationOf(this.graph, node, shape.at(-1)!, epsilon as number);
    const maker = node.codes ? undefined : this.wiring.open(node.inputs[0]!);
    if ((maker?.kind === 'conv' && !maker.residual) || maker?.kind === 'dense') {
      for (let c = 0; c < scale.length; c++) {
        maker.scale[c]! *= scale[c]!;
        maker.bias[c] = maker.bias[c]! * scale[c]! + shift[c]!;
      }
      this.wiring.give(node, value);
      return;
    }
    const output = this.wiring.like(value);
    this.wiring.answer(node, {
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
    const whole = /^global/.test(node.op);
    if (node.attributes.dataFormat === 'channelsFirst') throw unsupported(node, 'channelsFirst');
    this.wiring.answer(node, {
      kind: 'pool',
      layer: node.layer,
      input: value.planes ? value : this.wiring.spread(value, node),
      output: new Value(shape, !whole),
      ...(whole ? {} : { window: windowOf(node, undefined, value, sizeOf(shape)) }),
      mean,
      ...none(),
    });
  }

  /** A value in another order: a view, unless there is a kernel of its own. */
  #rearrange(node: GraphNode, shape: number[]): void {
    const [source] = node.inputs as [Source];
    const { op, attributes, codes } = node;
    const plain = op === 'zeroPadding2d' && attributes.dataFormat !== 'channelsFirst';
    if (plain && this.wiring.of(source).planes) {
      this.#pad(node, this.#coded(node, 0, source), shape);
      return;
    }
    const whole = (): View => ({
      base: this.#coded(node, 0, source),
      shape: this.wiring.view(source).shape,
    });
    const change = REARRANGING[op]!;
    const view =
      (codes?.inputs ? undefined : change(this.wiring.view(source), node, shape)) ??
      change(whole(), node, shape);
    if (view?.shape.join() !== shape.join()) {
      const { interpolation = 'this' } = attributes;
      throw unsupported(node, `${interpolation} interpolation, or an output of [${shape}]`);
    }
    this.wiring.see(node, view);
  }

  #concatenate(node: GraphNode, given: Value[], shape: number[]): void {
    const { axis } = node.attributes;
    if (axis !== -1 && axis !== shape.length) throw unsupported(node);
    const output = new Value(
      shape,
      given.some(({ planes }) => planes),
    );
    const inputs = given.map((value) =>
      output.planes && !value.planes ? this.wiring.spread(value, node) : value,
    );
    this.wiring.answer(node, {
      kind: 'concatenate',
      layer: node.layer,
      inputs,
      output,
      ...none(),
    });
  }

  #pad(node: GraphNode, value: Value, shape: number[]): void {
    const [[top], [left]] = node.attributes.padding as [[number], [number]];
    const output = new Value(shape, true);
    this.wiring.answer(node, {
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
    const output = new Value(shape, first.planes);
    // Inputs of one size may still be broadcast: [2, 1] and [1, 2].
    if (given.some(({ size, planes }) => size !== output.size || planes !== first.planes)) {
      throw unsupported(node, 'inputs of different shapes');
    }
    if (node.op === 'add' && given.length === 2 && !node.codes && first !== second) {
      const fused =
        this.#fuseResidual(node, first, second) ?? this.#fuseResidual(node, second, first);
      if (fused) {
        this.wiring.give(node, fused);
        return;
      }
    }
    const combine: Combine = {
      kind: 'combine',
      layer: node.layer,
      inputs: given,
      output,
      how: COMBINATIONS[node.op === 'average' ? 'add' : (node.op as keyof typeof COMBINATIONS)],
      factor: node.op === 'average' ? Math.fround(1 / given.length) : 1,
      ...none(),
    };
    this.wiring.answer(node, combine);
  }

  /** Lets the convolution that made `value` add `other`, which must be there before it. */
  #fuseResidual(node: GraphNode, value: Value, other: Value): Value | undefined {
    const source = node.inputs.find((input) => this.wiring.of(input) === value)!;
    const maker = this.wiring.open(source);
    if (maker?.kind !== 'conv' || maker.residual || maker.signs || maker.kernel.separate)
      return undefined;
    const { operations } = this.wiring.network;
    const before = operations.findIndex(({ output }) => output === other);
    if (before > operations.indexOf(maker)) return undefined;
    maker.residual = other;
    return value;
  }
}
