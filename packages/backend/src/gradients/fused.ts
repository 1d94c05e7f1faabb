// Gradients of the fused kernels, so that a layer trains in one op: product, bias and activation forward,
// and backward a pass each. tfjs fuses for inference only, and splits into three ops where a gradient is
// asked for.
import {
  _FusedMatMul,
  type _FusedMatMulAttrs,
  Conv2DBackpropFilter,
  Conv2DBackpropInput,
  engine,
  FusedConv2D,
  matMul,
  type NamedAttrMap,
  type NamedTensorMap,
  sum,
  type Tensor,
} from '@tensorflow/tfjs-core';
import { UnsupportedError } from '@thimble/base';
import type { ConvAttrs } from '../conv-info.ts';
import { RELU_GRAD, runGradient } from './activation-kernels.ts';
import { defineGradient, type Gradient } from './override.ts';

/** The activations whose gradient needs the output alone. */
const FUSED = ['linear', 'relu'];

/** Whether {@link fused} can take an activation with it. */
export function isFused(activation: string): boolean {
  return FUSED.includes(activation);
}

/** Runs a fused kernel as an op; inputs that are `undefined` or `null` are left out. */
export function fused(
  kernelName: typeof FusedConv2D | typeof _FusedMatMul,
  inputs: Record<string, Tensor | null | undefined>,
  attrs: object,
): Tensor {
  const given = Object.entries(inputs).filter((entry): entry is [string, Tensor] => !!entry[1]);
  return engine().runKernel(kernelName, Object.fromEntries(given), attrs as NamedAttrMap);
}

/** The gradient before the activation. */
function beforeActivation(dy: Tensor, y: Tensor, activation: string): Tensor {
  if (!isFused(activation)) {
    throw new UnsupportedError(
      `A fused kernel with the activation "${activation}" has no gradient here. Fused with one: ${FUSED.join(', ')}.`,
    );
  }
  return activation === 'relu' ? runGradient(RELU_GRAD, y, dy) : dy;
}

/** Of the bias, which was added to every row. */
function ofBias(dy: Tensor): Tensor {
  return sum(
    dy,
    dy.shape.slice(1).map((_, i) => i),
  );
}

const inputs = (...names: string[]) => ({ inputsToSave: names, outputsToSave: [true] });

/** Of y = activation(a b + bias) and y = activation(x * filter + bias), the bias along the last axis. */
export const fusedGradients: readonly Gradient[] = [
  defineGradient<_FusedMatMulAttrs>(
    _FusedMatMul,
    (dy, saved, { activation }) => {
      const [a, b, y] = saved as [Tensor, Tensor, Tensor];
      const d = beforeActivation(dy, y, activation);
      return {
        a: () => matMul(d, b, false, true),
        b: () => matMul(a, d, true, false),
        bias: () => ofBias(d),
      };
    },
    inputs('a', 'b'),
  ),
  defineGradient<ConvAttrs & { activation: string }>(
    FusedConv2D,
    (dy, saved, attrs) => {
      const [x, filter, y] = saved as [Tensor, Tensor, Tensor];
      const d = beforeActivation(dy, y, attrs.activation);
      const run = (kernelName: string, tensors: NamedTensorMap, shape: object) =>
        engine().runKernel(kernelName, tensors, { ...attrs, ...shape } as NamedAttrMap) as Tensor;
      return {
        x: () => run(Conv2DBackpropInput, { dy: d, filter }, { inputShape: x.shape }),
        filter: () => run(Conv2DBackpropFilter, { x, dy: d }, { filterShape: filter.shape }),
        bias: () => ofBias(d),
      };
    },
    inputs('x', 'filter'),
  ),
];
