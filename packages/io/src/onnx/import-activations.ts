// Activation functions of ONNX.
import { UnsupportedError } from '@thimble/base';
import { floatOf, intOf } from './import-attributes.ts';
import type { OnnxNode } from './messages.ts';
import { at, type NodeParts, type OnnxReader, type Value } from './reader.ts';

type Kind = Pick<NodeParts, 'op'> & { attributes: NonNullable<NodeParts['attributes']> };

const named = (activation: string): Kind => ({ op: 'activation', attributes: { activation } });

const NAMES: Record<string, string> = {
  Relu: 'relu',
  Sigmoid: 'sigmoid',
  Tanh: 'tanh',
  Softplus: 'softplus',
  Softsign: 'softsign',
};

/** Operations that are activation functions. */
export const ACTIVATIONS: readonly string[] = [
  ...Object.keys(NAMES),
  'Clip',
  'Elu',
  'HardSigmoid',
  'LeakyRelu',
  'Selu',
  'Softmax',
  'ThresholdedRelu',
];

/** What an activation node is to a value, whose last axis ONNX has at `last` (the batch is 0). */
function kindOf(reader: OnnxReader, node: OnnxNode, axes: number, last: number): Kind {
  const name = NAMES[node.op ?? ''];
  if (name) return named(name);
  const near = (attribute: string, missing: number, wanted: number) =>
    Math.abs(floatOf(node, attribute, missing) - wanted) < 1e-6;
  switch (node.op) {
    case 'Elu': {
      const alpha = floatOf(node, 'alpha', 1);
      return alpha === 1 ? named('elu') : { op: 'elu', attributes: { alpha } };
    }
    case 'LeakyRelu':
      return { op: 'leakyReLU', attributes: { alpha: floatOf(node, 'alpha', 0.01) } };
    case 'ThresholdedRelu':
      return { op: 'thresholdedReLU', attributes: { theta: floatOf(node, 'alpha', 1) } };
    case 'Selu':
      if (near('alpha', 1.67326319, 1.67326324) && near('gamma', 1.05070102, 1.05070099)) {
        return named('selu');
      }
      break;
    case 'HardSigmoid':
      if (near('alpha', 0.2, 0.2) && near('beta', 0.5, 0.5)) return named('hardSigmoid');
      break;
    case 'Softmax': {
      const axis = intOf(node, 'axis', reader.opset < 13 ? 1 : -1);
      if ((axis < 0 ? axis + axes + 1 : axis) === last) return named('softmax');
      throw new UnsupportedError(`${at(node)} is along axis ${axis}; only channels are read.`);
    }
    case 'Clip': {
      const [low, high] = rangeOf(reader, node);
      if (low !== 0) break;
      if (high === 6) return named('relu6');
      return high === Number.POSITIVE_INFINITY
        ? named('relu')
        : { op: 'reLU', attributes: { maxValue: high } };
    }
  }
  throw new UnsupportedError(
    `${at(node)} has constants that no layer of TensorFlow.js has. Use the usual ones, or relu.`,
  );
}

/** The two ends of a Clip node. */
export function rangeOf(reader: OnnxReader, node: OnnxNode): [number, number] {
  const end = (index: number, attribute: string, missing: number): number => {
    const given = node.inputs[index] ? reader.constant(node, index).data[0] : undefined;
    const value = given ?? floatOf(node, attribute, missing);
    return Math.abs(value) > 3.4e38 ? missing : value;
  };
  return [end(1, 'min', Number.NEGATIVE_INFINITY), end(2, 'max', Number.POSITIVE_INFINITY)];
}

const POSITIVE = /^(relu6?|sigmoid|softmax|softplus|hardSigmoid)$/;

/** An activation node as a layer of its own. */
export function activationLayer(reader: OnnxReader, node: OnnxNode): Value {
  let input = reader.value(node, 0);
  const name = node.outputs[0]!;
  const users = reader.isOutput(name) ? [] : reader.users(name);
  if (node.op === 'Clip' && users.length > 0 && users.every(({ op }) => op === 'QuantizeLinear')) {
    return { ...input, range: rangeOf(reader, node) };
  }
  const axes = reader.sizes(input).length;
  if (node.op === 'Softmax' && input.layout === 'flat') input = reader.last(input, `${name}_input`);
  const last = input.layout === 'first' || input.layout === 'pooled' ? 1 : axes;
  const kind = kindOf(reader, node, axes, last);
  const { shape, layout, image } = input;
  const made = reader.add(name, { ...kind, inputs: [input], shape }, layout);
  const positive = POSITIVE.test(String(kind.attributes.activation)) || kind.op === 'reLU';
  return { ...made, ...(image ? { image } : {}), ...(positive ? { positive } : {}) };
}

/** The activation function that alone uses a layer's output, and goes into the layer. */
export interface Ending {
  /** The value that it gives; the layer has this name. */
  output: string;
  attributes: { activation?: string };
  positive: boolean;
}

/** What ends a layer whose output ONNX calls `output`, with its channels at axis `last` of `axes`. */
export function endingOf(reader: OnnxReader, output: string, axes: number, last: number): Ending {
  const none = { output, attributes: {}, positive: false };
  const user = reader.onlyUser(output);
  if (!user || !ACTIVATIONS.includes(user.op ?? '') || user.inputs[0] !== output) return none;
  if (user.op === 'Clip' && !(rangeOf(reader, user)[0] === 0 && rangeOf(reader, user)[1] === 6)) {
    return none;
  }
  const { op, attributes } = kindOf(reader, user, axes, last);
  if (op !== 'activation') return none;
  const activation = String(attributes.activation);
  reader.done.add(user);
  const positive = POSITIVE.test(activation);
  return { output: user.outputs[0]!, attributes: { activation }, positive };
}
