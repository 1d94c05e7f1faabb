// How many multiply-accumulates an operation takes for one example. By convention those of convolutions
// and dense products alone are counted, recurrent ones included; biases, normalisation, activations and
// element-wise products are not.
import { sizeOf } from '@thimble/base';
import type { Shape } from './graph.ts';

interface Operands {
  /** Shapes of the inputs and outputs. */
  inputs: Shape[];
  outputs: Shape[];
  /** Shapes of the weights by role. */
  weights: Record<string, number[]>;
}

type Rule = (operands: Operands) => number;

/** Every output position takes the whole kernel, whatever its groups. */
const perOutput: Rule = ({ outputs, weights }) =>
  positions(outputs[0]!) * sizesOf(weights, /kernel$/i);

/**
 * Every input position is multiplied with the whole kernel; in a recurrent layer these are the time
 * steps, and the kernels are those of the input and of the state, all gates included.
 */
const perInput: Rule = ({ inputs, weights }) =>
  positions(inputs[0]!) * sizesOf(weights, /kernel$/i);

const convolutionalLstm: Rule = ({ inputs, outputs, weights }) =>
  known(inputs[0]!.slice(0, -3)) * known(outputs[0]!.slice(-3, -1)) * sizesOf(weights, /kernel$/i);

const none: Rule = () => 0;

const rules: Record<string, Rule> = {
  dense: perOutput,
  conv1d: perOutput,
  conv2d: perOutput,
  conv3d: perOutput,
  depthwiseConv2d: perOutput,
  separableConv2d: perOutput,
  slimmableDense: perOutput,
  slimmableConv2d: perOutput,
  slimmableDepthwiseConv2d: perOutput,
  xnorDense: perOutput,
  xnorConv2d: perOutput,
  conv2dTranspose: perInput,
  conv3dTranspose: perInput,
  simpleRNN: perInput,
  gru: perInput,
  lstm: perInput,
  rnn: perInput,
  convLstm2d: convolutionalLstm,
  embedding: none,
  prelu: none,
};

/**
 * The multiply-accumulates of one application of `op` to one example; NaN where they are not known: a
 * size is null, or the op is an unknown one with a weight of two axes or more. A layer in `channelsFirst`
 * layout, whose channels are not on the last axis, is given with `channelsFirst`.
 */
export function macsOf(op: string, operands: Operands, channelsFirst: boolean = false): number {
  const rule = rules[op];
  if (!rule) {
    return Object.values(operands.weights).some((shape) => shape.length > 1) ? Number.NaN : 0;
  }
  const order = channelsFirst ? channelsToEnd : (shape: Shape) => shape;
  return rule({
    ...operands,
    inputs: operands.inputs.map(order),
    outputs: operands.outputs.map(order),
  });
}

function channelsToEnd(shape: Shape): Shape {
  return [...shape.slice(1), ...shape.slice(0, 1)];
}

/** Number of positions of a value: the product of all sizes but the last, the channels'. */
function positions(shape: Shape): number {
  return known(shape.slice(0, -1));
}

function known(sizes: Shape): number {
  return sizes.reduce<number>((product, size) => product * (size ?? Number.NaN), 1);
}

function sizesOf(weights: Record<string, number[]>, roles: RegExp): number {
  return Object.entries(weights)
    .filter(([role]) => roles.test(role))
    .reduce((sum, [, shape]) => sum + sizeOf(shape), 0);
}
