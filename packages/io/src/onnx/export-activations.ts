// Activation functions in ONNX.
import { UnsupportedError } from '@thimble/base';
import type { GraphNode } from '@thimble/graph';
import { camel } from '../keras-layer.ts';
import type { Site } from './export-weights.ts';
import type { Attributes, OnnxWriter, Value } from './writer.ts';

type Function = (writer: OnnxWriter, value: Value, name: string) => string;

const op =
  (type: string, attributes: Attributes = {}): Function =>
  (writer, value, name) =>
    writer.add(type, [value.name], attributes, name);

const clip =
  (low: number, high: number): Function =>
  (writer, value, name) =>
    writer.add('Clip', [value.name, writer.scalar(low), writer.scalar(high)], {}, name);

/** Of the last axis of the graph. */
const softmax: Function = (writer, value, name) =>
  op('Softmax', { axis: value.layout === 'first' ? 1 : value.shape.length })(writer, value, name);

/** x times a function of x. */
const gated =
  (...types: string[]): Function =>
  (writer, value, name) => {
    let gate = value.name;
    for (const type of types) gate = writer.add(type, [gate], {}, `${name}/gate`);
    return writer.add('Mul', [value.name, gate], {}, name);
  };

const FUNCTIONS: Readonly<Record<string, Function>> = {
  relu: op('Relu'),
  relu6: clip(0, 6),
  sigmoid: op('Sigmoid'),
  tanh: op('Tanh'),
  softmax,
  elu: op('Elu', { alpha: 1 }),
  selu: op('Selu', { alpha: 1.6732632423543772, gamma: 1.0507009873554805 }),
  softplus: op('Softplus'),
  softsign: op('Softsign'),
  hardSigmoid: op('HardSigmoid', { alpha: 0.2, beta: 0.5 }),
  swish: gated('Sigmoid'),
  mish: gated('Softplus', 'Tanh'),
};

/** The function of a node; undefined where its values stay as they are. */
function functionOf({ op: kind, layer, attributes }: GraphNode): Function | undefined {
  const { activation, maxValue, alpha, theta, axis } = attributes as Record<string, never>;
  switch (kind) {
    case 'reLU':
      return (maxValue ?? null) === null ? FUNCTIONS.relu : clip(0, maxValue);
    case 'leakyReLU':
      return op('LeakyRelu', { alpha: alpha ?? 0.3 });
    case 'elu':
      return op('Elu', { alpha: alpha ?? 1 });
    case 'thresholdedReLU':
      return op('ThresholdedRelu', { alpha: theta ?? 1 });
    case 'softmax':
      if ((axis ?? -1) === -1) return softmax;
      throw new UnsupportedError(`toOnnx: softmax "${layer}" is along axis ${axis}. Use axis -1.`);
  }
  const name = camel(String(activation ?? 'linear'));
  if (name === 'linear') return undefined;
  const known = FUNCTIONS[name];
  if (known) return known;
  throw new UnsupportedError(
    `toOnnx: layer "${layer}" has the activation ${activation}, which is not known. Known are: linear, ${Object.keys(FUNCTIONS).join(', ')}.`,
  );
}

/** The name for what a node makes before its activation function, and that function. */
export function activated({ node, writer }: Site): { as: string; end(value: Value): Value } {
  const apply = functionOf(node);
  if (!apply) return { as: node.name, end: (value) => value };
  return {
    as: `${node.name}/linear`,
    end: (value) => ({ ...value, name: apply(writer, value, node.name) }),
  };
}

/** A node that is an activation function alone. */
export function activationNode({ node, writer, inputs }: Site): Value {
  const apply = functionOf(node);
  const [value] = inputs as [Value];
  if (!apply) return value;
  const given = value.layout === 'flat' && apply === softmax ? writer.last(value) : value;
  return { ...given, name: apply(writer, given, node.name) };
}
