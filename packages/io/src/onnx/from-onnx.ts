// From the bytes of an ONNX file to a network.
import type { LayersModel } from '@tensorflow/tfjs-layers';
import {
  checkOptions,
  FileFormatError,
  OptionError,
  ThimbleError,
  UnsupportedError,
} from '@thimble/base';
import { type Graph, type Shape, validateGraph } from '@thimble/graph';
import { modelOfGraph } from '../raise.ts';
import { constantOf, dequantized } from './constants.ts';
import { ACTIVATIONS, activationLayer } from './import-activations.ts';
import { intOf } from './import-attributes.ts';
import { convolution } from './import-convolution.ts';
import { batchNormalization, globalPooling, pooling, product, scaling } from './import-layers.ts';
import {
  concat,
  flatten,
  merge,
  pad,
  reshape,
  slice,
  squeeze,
  transpose,
} from './import-shapes.ts';
import { CHANNELS, decodeModel, ELEMENTS, type OnnxNode, type OnnxValueInfo } from './messages.ts';
import { at, OnnxReader, type Value } from './reader.ts';

/** Options of {@link fromOnnx}; all are optional. */
export interface FromOnnxOptions {
  /**
   * Where the model has the channels of the images that go in and come out. 'channelsLast', the default: as
   * TensorFlow.js wants them, whatever the file has. 'file': as in the file.
   */
  layout?: 'channelsLast' | 'file';
}

/**
 * A tfjs-layers model that computes what an ONNX file does: convolutions (grouped and depthwise), dense layers,
 * batch normalisation, pooling, activations, sums and products, concatenation, padding, slices, reshapes. Images
 * have their channels last inside; kernels and dense layers behind a flattened image are put in that order.
 *
 * The file is not trusted: memory and time are bounded by its size, up to 4096 nodes are read. Quantised
 * networks (QDQ) become a model in floats with the rounded weights; {@link graphOfOnnx} keeps the codes.
 *
 * @throws {FileFormatError} for bytes that are cut off or make no sense; {UnsupportedError} naming a node whose
 *   operation or attributes TensorFlow.js has no layer for, operator sets before 7; {ShapeError} for sizes that do not fit.
 * @example
 * const model2 = fromOnnx(toOnnx(model));
 * model2.summary();
 */
export function fromOnnx(bytes: Uint8Array, options: FromOnnxOptions = {}): LayersModel {
  const graph = graphOfOnnx(bytes, options);
  return guarded(() => modelOfGraph(graph));
}

/**
 * As {@link fromOnnx}, as plain data: what a QDQ network rounds, and to which codes, is kept, so that
 * `encodeGraph` writes it as a `.thimble` file and `runInteger` runs it in integers.
 *
 * @example
 * const graph2 = graphOfOnnx(toOnnx(model));
 * const { bytes: file } = encodeGraph(graph2);
 */
export function graphOfOnnx(bytes: Uint8Array, options: FromOnnxOptions = {}): Graph {
  checkOptions('fromOnnx', options, ['layout'] satisfies (keyof FromOnnxOptions)[]);
  const { layout = 'channelsLast' } = options;
  if (layout !== 'channelsLast' && layout !== 'file') {
    throw new OptionError(
      `fromOnnx: layout must be channelsLast or file, not "${String(layout)}".`,
    );
  }
  return guarded(() => read(bytes, layout === 'file'));
}

/** Whatever goes wrong with a file that nobody can trust is an error with a name. */
function guarded<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof ThimbleError) throw error;
    throw new FileFormatError(`fromOnnx: the network makes no sense: ${(error as Error).message}`);
  }
}

/** Since then broadcasting and batch normalisation are what they are now. */
const OLDEST_OPSET = 7;

function read(bytes: Uint8Array, asInFile: boolean): Graph {
  const { graph: file, opsets } = decodeModel(bytes);
  const opset = opsets.find(({ domain = '' }) => domain === '' || domain === 'ai.onnx')?.version;
  if (!file || opset === undefined) {
    throw new FileFormatError(
      `fromOnnx: the file has no ${file ? 'operator set' : 'graph'}. It is cut off, or not an ONNX model.`,
    );
  }
  if (opset < OLDEST_OPSET) {
    throw new UnsupportedError(
      `fromOnnx: the file is of operator set ${opset}; ${OLDEST_OPSET} and later are read. Convert it (onnx.version_converter).`,
    );
  }
  const reader = new OnnxReader(file, opset, bytes.length);
  if (file.name) reader.graph.name = file.name;
  for (const info of file.inputs) {
    if (!reader.isConstant(info.name)) addInput(reader, info, asInFile);
  }
  // A node may look ahead to one whose constants come in between: PyTorch writes the bounds of a Clip there.
  for (const node of file.nodes) {
    if (node.op !== 'Constant' || node.domain) continue;
    constant(reader, node);
    reader.done.add(node);
  }
  for (const node of file.nodes) {
    if (reader.done.has(node)) continue;
    const { op = '', domain = '' } = node;
    const rule = RULES.get(op);
    if (!rule || (domain !== '' && domain !== 'ai.onnx')) {
      throw new UnsupportedError(
        `${at(node)} ${domain ? `of ${domain}, ` : ''}is an operation that is not known. Known are: ${[...RULES.keys()].join(', ')}. ` +
          'Cut the network before it, or write it with these.',
      );
    }
    if (
      !node.outputs[0] ||
      node.outputs.slice(1).some((name) => name && reader.users(name).length > 0)
    ) {
      throw new UnsupportedError(`${at(node)} is used for more than its first output.`);
    }
    rule(reader, node);
  }
  file.outputs.forEach(({ name = '', type }) => {
    const last = type?.tensor?.shape?.dims.at(-1)?.denotation === CHANNELS;
    addOutput(reader, name, asInFile || last);
  });
  if (file.outputs.length === 0) throw new FileFormatError('fromOnnx: the network has no output.');
  validateGraph(reader.graph);
  return reader.graph;
}

function addInput(reader: OnnxReader, { name = '', type }: OnnxValueInfo, asInFile: boolean): void {
  const { element, shape } = type?.tensor ?? {};
  const sizes = (shape?.dims ?? []).slice(1).map(({ size }) => (size && size > 0 ? size : null));
  if (element !== ELEMENTS.float || !shape || shape.dims.length < 2) {
    throw new UnsupportedError(
      `fromOnnx: input "${name}" is not float32 with a batch and at least one more axis.`,
    );
  }
  if (sizes.some((size) => size !== null && size > 2 ** 24)) {
    throw new FileFormatError(`fromOnnx: input "${name}" has the sizes [batch,${sizes}].`);
  }
  const last = asInFile || shape.dims.at(-1)!.denotation === CHANNELS;
  const inFront = !last && channelsInFront(reader, name, sizes.length);
  const own: Shape = inFront ? [...sizes.slice(1), sizes[0]!] : sizes;
  const free = reader.free(name);
  reader.graph.inputs.push(free);
  reader.graph.nodes.push({
    name: free,
    op: 'input',
    layer: free,
    inputs: [],
    outputs: [own],
    attributes: {},
    weights: {},
  });
  const source = { node: free, output: 0 };
  reader.values.set(name, { source, shape: own, layout: inFront ? 'first' : 'last' });
}

const PASSES = /^(QuantizeLinear|DequantizeLinear|Identity|Cast|Dropout)$/;
const IMAGES = /^(Conv|MaxPool|AveragePool|BatchNormalization|Global(Max|Average)Pool)$/;

/**
 * Whether an input that does not say so has its channels in front: one of two spatial axes has, unless they are
 * moved there; one of a single other axis where an operation on images gets it.
 */
function channelsInFront(reader: OnnxReader, name: string, rank: number): boolean {
  if (rank !== 2 && rank !== 3) return false;
  const users: OnnxNode[] = [];
  const seen = new Set([name]);
  for (const value of seen) {
    for (const user of reader.users(value)) {
      if (PASSES.test(user.op ?? '')) for (const output of user.outputs) seen.add(output);
      else users.push(user);
    }
  }
  if (rank === 2) return users.some(({ op }) => IMAGES.test(op ?? ''));
  const moved = ({ op, attributes }: OnnxNode) =>
    op === 'Transpose' &&
    attributes.some(
      (attribute) => attribute.name === 'perm' && attribute.ints.join() === '0,3,1,2',
    );
  return !users.some(moved);
}

function addOutput(reader: OnnxReader, name: string, asInFile: boolean): void {
  let value = reader.values.get(name);
  if (!value) throw new FileFormatError(`fromOnnx: no node gives the output "${name}".`);
  if (asInFile || value.layout === 'flat') value = reader.last(value, name);
  if (value.layout === 'pooled') value = reader.first(value, name);
  const { node, output } = value.source;
  // A model of TensorFlow.js cannot give one value twice.
  const given = reader.graph.outputs.some((end) => end.node === node && end.output === output);
  if (value.code || given) {
    const { shape, layout } = value;
    const attributes = { activation: 'linear' };
    value = reader.add(name, { op: 'activation', attributes, inputs: [value], shape }, layout);
  }
  reader.graph.outputs.push(value.source);
}

type Rule = (reader: OnnxReader, node: OnnxNode) => void;

const handOn: Rule = (reader, node) => {
  const [input, output] = [node.inputs[0]!, node.outputs[0]!];
  if (reader.isConstant(input)) reader.setConstant(output, reader.constant(node, 0));
  else reader.values.set(output, reader.value(node, 0));
};

const cast: Rule = (reader, node) => {
  const to = intOf(node, 'to', 0);
  if (to === ELEMENTS.float) handOn(reader, node);
  else throw new UnsupportedError(`${at(node)} is to type ${to}; only float32 is computed with.`);
};

const constant: Rule = (reader, node) => {
  const value = node.attributes.find(({ name }) => name === 'value')?.t;
  if (!value) throw new UnsupportedError(`${at(node)} has no tensor as its value.`);
  if (node.outputs[0]) reader.setConstant(node.outputs[0], constantOf(value));
};

/** The scale and zero point of codes for a whole value. */
const quantize: Rule = (reader, node) => {
  const value = reader.value(node, 0);
  const [scale, zero] = [reader.constant(node, 1), reader.optional(node, 2)];
  const step = scale.data[0]!;
  if (scale.data.length !== 1 || !(step > 0 && step < Number.POSITIVE_INFINITY)) {
    throw new UnsupportedError(`${at(node)} has ${scale.data.length} steps; one above 0 is read.`);
  }
  if (zero && !(zero.data instanceof Uint8Array || zero.data instanceof Int8Array)) {
    throw new UnsupportedError(`${at(node)} has codes that are not of 8 bits.`);
  }
  const zeroPoint = (zero?.data[0] ?? 0) + (zero?.data instanceof Int8Array ? 128 : 0);
  const { range = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY], ...rest } = value;
  const place = (x: number) => Math.min(255, Math.max(0, Math.round(x / step) + zeroPoint));
  const [low, high] = range.map(place) as [number, number];
  const code = { bits: 8, scale: step, zeroPoint, low, high };
  const before = value.code;
  if (before && JSON.stringify(before) !== JSON.stringify(code)) {
    // What is rounded twice is rounded by a layer of its own first.
    const { shape, layout, image } = value;
    const parts = { op: 'activation', attributes: { activation: 'linear' }, inputs: [rest], shape };
    const made = reader.add(`${node.outputs[0]}_before`, parts, layout);
    reader.codes.set(node.outputs[0]!, { ...made, ...(image ? { image } : {}), code });
    return;
  }
  reader.codes.set(node.outputs[0]!, { ...rest, code });
};

const dequantize: Rule = (reader, node) => {
  const [input, output] = [node.inputs[0]!, node.outputs[0]!];
  const scale = reader.constant(node, 1);
  const zero = reader.optional(node, 2);
  const rounded: Value | undefined = reader.codes.get(input);
  if (!rounded) {
    const codes = reader.constant(node, 0);
    reader.setConstant(output, dequantized(codes, scale, zero, intOf(node, 'axis', 1)));
    return;
  }
  const zeroPoint = (zero?.data[0] ?? 0) + (zero?.data instanceof Int8Array ? 128 : 0);
  const { code } = rounded;
  if (scale.data[0] !== code!.scale || zeroPoint !== code!.zeroPoint) {
    throw new UnsupportedError(`${at(node)} has another step than the codes that it gets.`);
  }
  reader.values.set(output, rounded);
};

const arithmetic: Rule = (reader, node) => {
  const known = node.inputs.some((name) => reader.isConstant(name));
  (known && node.inputs.length === 2 ? scaling : merge)(reader, node);
};

const activation: Rule = (reader, node) => {
  reader.values.set(node.outputs[0]!, activationLayer(reader, node));
};

const RULES: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ...ACTIVATIONS.map((op): [string, Rule] => [op, activation]),
  ['Add', arithmetic],
  ['AveragePool', pooling],
  ['BatchNormalization', batchNormalization],
  ['Cast', cast],
  ['Concat', concat],
  ['Constant', constant],
  ['Conv', convolution],
  ['DequantizeLinear', dequantize],
  ['Div', arithmetic],
  ['Dropout', handOn],
  ['Flatten', flatten],
  ['Gemm', product],
  ['GlobalAveragePool', globalPooling],
  ['GlobalMaxPool', globalPooling],
  ['Identity', handOn],
  ['MatMul', product],
  ['Max', merge],
  ['MaxPool', pooling],
  ['Mean', merge],
  ['Min', merge],
  ['Mul', arithmetic],
  ['Pad', pad],
  ['QuantizeLinear', quantize],
  ['ReduceMean', globalPooling],
  ['Reshape', reshape],
  ['Slice', slice],
  ['Squeeze', squeeze],
  ['Sub', arithmetic],
  ['Sum', merge],
  ['Transpose', transpose],
  ['Unsqueeze', squeeze],
]);
