// Dense layers, normalisation and pooling of ONNX.
import { ShapeError, sizeOf, UnsupportedError } from '@thimble/base';
import type { Shape } from '@thimble/graph';
import type { Constant } from './constants.ts';
import { endingOf } from './import-activations.ts';
import { floatOf, intOf, intsOf, outputSizes, requireInt, windowsOf } from './import-attributes.ts';
import { along, padded, vector } from './import-parts.ts';
import type { OnnxNode } from './messages.ts';
import { at, type OnnxReader } from './reader.ts';

type Rule = (reader: OnnxReader, node: OnnxNode) => void;

/** Gemm, and MatMul with the addition of a vector behind it. */
export const product: Rule = (reader, node) => {
  const name = node.outputs[0]!;
  const gemm = node.op === 'Gemm';
  const transposed = gemm && intOf(node, 'transB', 0) === 1;
  if (gemm) requireInt(node, 'transA', 0);
  for (const factor of ['alpha', 'beta']) {
    if (floatOf(node, factor, 1) !== 1) throw new UnsupportedError(`${at(node)} has ${factor}.`);
  }
  const weights = along(reader.constant(node, 1), transposed ? 0 : 1);
  if (weights.dims.length !== 2) {
    throw new UnsupportedError(`${at(node)} has a second factor of sizes [${weights.dims}].`);
  }
  const [rows, units] = (transposed ? weights.dims.toReversed() : weights.dims) as [number, number];
  let input = reader.value(node, 0);
  if (input.layout !== 'flat') input = reader.last(input, `${name}_input`);
  if (input.shape.at(-1) !== rows || (gemm && input.shape.length !== 1)) {
    throw new ShapeError(`${at(node)} has a kernel [${rows},${units}] for [${input.shape}].`);
  }
  const shape = [...input.shape.slice(0, -1), units];
  let output = name;
  let bias = gemm && node.inputs[2] ? vectorOrScalar(reader, node, 2, units) : undefined;
  const next = gemm ? undefined : reader.onlyUser(name);
  if (next?.op === 'Add') {
    const index = next.inputs[0] === name ? 1 : 0;
    const added = reader.isConstant(next.inputs[index]) ? reader.constant(next, index) : undefined;
    if (added && added.data.length === units && added.dims.at(-1) === units) {
      bias = { dims: [units], data: added.data };
      output = next.outputs[0]!;
      reader.done.add(next);
    }
  }
  const ending = endingOf(reader, output, shape.length, shape.length);
  // The view of the kernel in which the rows of an image are in ONNX's order, and how to turn it.
  const image = input.layout === 'flat' ? (input.image as number[]) : undefined;
  const inner = image ? [image.at(-1)!, ...image.slice(0, -1)] : [rows];
  const view = transposed ? [units, ...inner] : [...inner, units];
  const first = transposed ? 1 : 0;
  const turned = image ? [...image.slice(1).map((_, i) => i + 1), 0] : [0];
  const perm = [...turned.map((axis) => axis + first), transposed ? 0 : inner.length];
  const made = reader.add(ending.output, {
    op: 'dense',
    attributes: { units, useBias: bias !== undefined, ...ending.attributes },
    inputs: [input],
    shape,
    weights: {
      kernel: reader.weight(weights, view, perm, [rows, units], 1),
      ...(bias ? { bias: reader.weight(bias) } : {}),
    },
  });
  reader.values.set(ending.output, ending.positive ? { ...made, positive: true } : made);
};

function vectorOrScalar(reader: OnnxReader, node: OnnxNode, index: number, size: number): Constant {
  const given = reader.constant(node, index);
  if (given.data.length !== 1) return vector(reader, node, index, size);
  return { dims: [size], data: new Float32Array(size).fill(given.data[0]!) };
}

export const batchNormalization: Rule = (reader, node) => {
  const name = node.outputs[0]!;
  requireInt(node, 'training_mode', 0);
  const given = reader.value(node, 0);
  const input =
    reader.sizes(given).length > 1
      ? reader.first(given, `${name}_input`)
      : reader.last(given, `${name}_input`);
  const channels = input.shape.at(-1) as number;
  const weight = (index: number) => reader.weight(vector(reader, node, index, channels));
  const weights = {
    gamma: weight(1),
    beta: weight(2),
    movingMean: weight(3),
    movingVariance: weight(4),
  };
  const attributes = { axis: -1, epsilon: floatOf(node, 'epsilon', 1e-5) };
  const parts = {
    op: 'batchNormalization',
    attributes,
    inputs: [input],
    shape: input.shape,
    weights,
  };
  reader.values.set(name, reader.add(name, parts, input.layout));
};

export const pooling: Rule = (reader, node) => {
  const name = node.outputs[0]!;
  requireInt(node, 'ceil_mode', 0);
  requireInt(node, 'storage_order', 0);
  const input = reader.first(reader.value(node, 0), `${name}_input`);
  const windows = windowsOf(node, intsOf(node, 'kernel_shape') ?? [], input.shape);
  if (windows.dilations.some((n) => n > 1)) {
    throw new UnsupportedError(
      `${at(node)} has dilations, which pooling of TensorFlow.js has not.`,
    );
  }
  const mean = node.op === 'AveragePool';
  const counted = intOf(node, 'count_include_pad', 0) === 1;
  if (mean && counted && windows.padding !== 'valid') windows.padding = 'explicit';
  if (windows.padding === 'explicit' && !(mean ? counted : input.positive)) {
    throw new UnsupportedError(
      `${at(node)} has the paddings [${windows.before},${windows.after}], which TensorFlow.js has not here. Use none, or those of "same".`,
    );
  }
  const image = padded(reader, node, input, windows);
  const shape = [...outputSizes(image.shape.slice(0, -1), windows), input.shape.at(-1)!];
  const op = `${mean ? 'average' : 'max'}Pooling${windows.window.length}d`;
  const { window: poolSize, strides } = windows;
  const attributes = { poolSize, strides, padding: windows.padding === 'same' ? 'same' : 'valid' };
  const made = reader.add(name, { op, attributes, inputs: [image], shape }, 'first');
  reader.values.set(name, input.positive ? { ...made, positive: true } : made);
};

export const globalPooling: Rule = (reader, node) => {
  const name = node.outputs[0]!;
  const input = reader.first(reader.value(node, 0), `${name}_input`);
  const axes = input.shape.length - 1;
  let kept = true;
  if (node.op === 'ReduceMean') {
    const over = intsOf(node, 'axes') ?? Array.from(reader.constant(node, 1).data);
    const wanted = input.shape.slice(0, -1).map((_, i) => i + 2);
    const got = over.map((axis) => (axis < 0 ? axis + axes + 2 : axis)).sort((a, b) => a - b);
    if (got.join() !== wanted.join()) {
      throw new UnsupportedError(
        `${at(node)} is over axes [${over}]; all axes of an image are read.`,
      );
    }
    kept = intOf(node, 'keepdims', 1) === 1;
  }
  if (axes !== 1 && axes !== 2) {
    throw new UnsupportedError(`${at(node)} is over ${axes} axes; one or two are read.`);
  }
  const op = `global${node.op === 'GlobalMaxPool' ? 'Max' : 'Average'}Pooling${axes}d`;
  const channels = input.shape.at(-1)!;
  const made = reader.add(name, { op, inputs: [input], shape: [channels] });
  const image: Shape = [...new Array<number>(axes).fill(1), channels];
  reader.values.set(name, kept ? { ...made, layout: 'pooled', image } : made);
};

/** A scale and a shift for each channel: batch normalisation with mean 0 and variance 1. */
export const scaling: Rule = (reader, node) => {
  const name = node.outputs[0]!;
  const second = reader.isConstant(node.inputs[1]);
  const constant = reader.constant(node, second ? 1 : 0);
  let input = reader.value(node, second ? 0 : 1);
  if (input.layout === 'flat') input = reader.last(input, `${name}_input`);
  const channels = input.shape.at(-1) as number;
  const sizes = reader.sizes(input);
  const axis = input.layout === 'last' ? sizes.length - 1 : 0;
  const along = axis - sizes.length + constant.dims.length;
  const fits =
    sizeOf(constant.dims) === 1 ||
    (constant.dims[along] === channels && constant.data.length === channels);
  if (!fits || (!second && (node.op === 'Sub' || node.op === 'Div'))) {
    throw new UnsupportedError(
      `${at(node)} has a constant of sizes [${constant.dims}] for [${sizes}]; one number, or one for each channel, is read.`,
    );
  }
  const of = (change: (value: number) => number, neutral: number, used: boolean): string => {
    const { data } = constant;
    const values = Float32Array.from({ length: channels }, (_, c) =>
      used ? change(data[data.length === 1 ? 0 : c]!) : neutral,
    );
    return reader.weight({ dims: [channels], data: values });
  };
  const multiplies = node.op === 'Mul' || node.op === 'Div';
  const weights = {
    gamma: of((x) => (node.op === 'Div' ? 1 / x : x), 1, multiplies),
    beta: of((x) => (node.op === 'Sub' ? -x : x), 0, !multiplies),
    movingMean: of((x) => x, 0, false),
    movingVariance: of((x) => x, 1, false),
  };
  const attributes = { axis: -1, epsilon: 0 };
  const parts = {
    op: 'batchNormalization',
    attributes,
    inputs: [input],
    shape: input.shape,
    weights,
  };
  const made = reader.add(name, parts, input.layout);
  reader.values.set(name, input.image ? { ...made, image: input.image } : made);
};
