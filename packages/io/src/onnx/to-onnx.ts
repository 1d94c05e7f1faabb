// From a tfjs model to the bytes of an ONNX file.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import { checkOptions, OptionError, UnsupportedError } from '@thimble/base';
import { lower } from '@thimble/core';
import {
  type Graph,
  type GraphNode,
  plainGraph,
  type Shape,
  type Source,
  validateGraph,
} from '@thimble/graph';
import { groupedConvolution } from './export-groups.ts';
import { exportNode } from './export-nodes.ts';
import {
  CHANNELS,
  ELEMENTS,
  encodeModel,
  type OnnxDimension,
  type OnnxValueInfo,
} from './messages.ts';
import { OnnxWriter, type Value } from './writer.ts';

/** Options of {@link toOnnx}; all are optional. */
export interface ToOnnxOptions {
  /**
   * Where the channels of images are that go in and come out. 'channelsLast', the default: as in the model,
   * [batch, height, width, channels], so that the same numbers go in. 'channelsFirst': [batch, channels,
   * height, width], as networks from PyTorch have it, without a transposition at either end.
   */
  layout?: 'channelsLast' | 'channelsFirst';
  /**
   * Whether what is quantised is written as codes of 8 bits; default true. False: floats, with rounded
   * weights where the model has them and activations that are not rounded.
   */
  quantized?: boolean;
}

/** The oldest operator set with steps per channel: every runtime of today reads it. */
const OPSET = 13;
/** The version of the file format that came with it. */
const IR_VERSION = 7;

/**
 * Writes a model as an ONNX file: operator set 13, IR version 7, any batch size.
 *
 * Inside, images have their channels first, as ONNX wants them; dense layers behind a flattened image get
 * their kernels in that order. Inputs and outputs have the names of the model's layers. Weights have the
 * values that the model computes with: masks, codebooks and the like are baked, dropout is gone. Layers made
 * of several, such as `groupConv2d`, are written as their parts, slimmable and versatile ones as plain layers.
 *
 * A quantised model is written with QuantizeLinear and DequantizeLinear (QDQ): kernels as int8 with a step per
 * output, activations as uint8 ("u8s8", onnxruntime's fast form), biases as int32 with the step of the sums.
 * Rounding is where the model rounds. Where several layers round a value alike, it is rounded once. Kernels
 * whose codes QDQ cannot hold (more than 8 bits, groups, codebooks, steps along another axis) are floats with
 * the rounded values; activations of more than 8 bits are refused.
 *
 * @throws {UnsupportedError} naming the layer, for operations that cannot be written and activations of more
 *   than 8 bits; {OptionError} for unknown options.
 * @example
 * const bytes = toOnnx(model);
 * console.log(bytes.length);
 */
export function toOnnx(model: LayersModel, options: ToOnnxOptions = {}): Uint8Array<ArrayBuffer> {
  checkToOnnx(options);
  return graphToOnnx(lower(model), options);
}

/**
 * As {@link toOnnx}, of a network that is lowered already, or that a `.thimble` file holds.
 *
 * @example
 * const bytes = graphToOnnx(lower(model), { layout: 'channelsFirst' });
 */
export function graphToOnnx(given: Graph, options: ToOnnxOptions = {}): Uint8Array<ArrayBuffer> {
  checkToOnnx(options);
  validateGraph(given);
  const graph = plainGraph(given);
  const { layout = 'channelsLast', quantized = true } = options;
  const writer = new OnnxWriter();
  const values = new Map<string, Value>();
  const inputs: OnnxValueInfo[] = [];
  const inFront = layout === 'channelsFirst';
  for (const node of graph.nodes) {
    const [shape] = node.outputs as [Shape];
    if (node.op === 'input') {
      const own = inFront && shape.length > 1 ? 'first' : 'last';
      const value: Value = { name: writer.free(node.name), shape, layout: own };
      values.set(node.name, value);
      inputs.push(infoOf(value));
      continue;
    }
    const codes = quantized ? node.codes : undefined;
    const given = node.inputs.map((source, i) => {
      const value = values.get(source.node)!;
      const code = codes?.inputs?.[i];
      return code ? writer.rounded(value, checkedCode(node, code)) : value;
    });
    const site = { graph, node, inputs: given, writer, quantized };
    const grouped = node.op === 'concatenate' ? groupedConvolution(site, values) : undefined;
    const made = grouped ?? exportNode(site);
    const code = codes?.output;
    values.set(node.name, code ? writer.rounded(made, checkedCode(node, code)) : made);
  }
  const ends = graph.outputs.map(({ node }): Value => {
    const value = values.get(node)!;
    const placed = inFront ? writer.first(value) : writer.last(value);
    return placed.layout === 'flat' ? writer.last(placed) : placed;
  });
  nameOutputs(writer, ends, graph.outputs, new Set(inputs.map(({ name }) => name!)));
  const outputs = ends.map(infoOf);
  writer.prune(outputs.map(({ name }) => name!));
  return encodeModel({
    irVersion: IR_VERSION,
    producer: 'thimble',
    opsets: [{ domain: '', version: OPSET }],
    graph: {
      name: graph.name,
      nodes: writer.nodes,
      initializers: writer.initializers,
      inputs,
      outputs,
    },
  });
}

/** Gives outputs the names of their nodes, where no input has them; a value that goes out twice is copied. */
function nameOutputs(
  writer: OnnxWriter,
  ends: Value[],
  sources: readonly Source[],
  taken: Set<string>,
): void {
  for (const [i, { node }] of sources.entries()) {
    const end = ends[i]!;
    let { name } = end;
    if (taken.has(name)) name = writer.add('Identity', [name], {}, node);
    if (name !== node && !taken.has(node)) {
      writer.swap(name, node);
      // The others may go by either name.
      const other = (own: string) => (own === name ? node : own === node ? name : own);
      for (const [k, value] of ends.entries()) ends[k] = { ...value, name: other(value.name) };
      name = node;
    }
    ends[i] = { ...end, name };
    taken.add(name);
  }
}

function infoOf({ name, shape, layout }: Value): OnnxValueInfo {
  const sizes = layout === 'first' ? [shape.at(-1)!, ...shape.slice(0, -1)] : shape;
  const dims = sizes.map(
    (size, i): OnnxDimension => (size === null ? { symbol: `${name}_${i}` } : { size }),
  );
  if (dims.length > 1) dims.at(layout === 'first' ? 0 : -1)!.denotation = CHANNELS;
  const type = { element: ELEMENTS.float, shape: { dims: [{ symbol: 'batch' }, ...dims] } };
  return { name, type: { tensor: type } };
}

type Code = NonNullable<NonNullable<GraphNode['codes']>['output']>;

function checkedCode({ layer }: GraphNode, code: Code): Code {
  if (code.low >= 0 && code.high <= 255) return code;
  throw new UnsupportedError(
    `toOnnx: the activations at layer "${layer}" have ${code.bits} bits; QDQ of this operator set has 8. Quantise them to 8, or ` +
      'use quantized: false.',
  );
}

function checkToOnnx(options: ToOnnxOptions): void {
  checkOptions('toOnnx', options, ['layout', 'quantized'] satisfies (keyof ToOnnxOptions)[]);
  const { layout = 'channelsLast' } = options;
  if (layout !== 'channelsLast' && layout !== 'channelsFirst') {
    throw new OptionError(
      `toOnnx: layout must be channelsLast or channelsFirst, not "${String(layout)}".`,
    );
  }
}
