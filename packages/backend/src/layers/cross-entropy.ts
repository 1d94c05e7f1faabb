// The loss categoricalCrossentropy of tfjs-layers as one op: for ten classes the eight ops forward and
// seventeen backward of the stock one take longer than many a network's last layer.
import {
  engine,
  getBackend,
  getGradient,
  type KernelConfig,
  registerGradient,
  type Tensor,
  type TensorInfo,
  util,
} from '@tensorflow/tfjs-core';
import type { GradientMap } from '../gradients/override.ts';
import { BACKEND_NAME } from '../name.ts';
import { defineKernel, floats, type Tensors } from '../stock.ts';

const CROSS_ENTROPY = 'ThimbleCategoricalCrossentropy';
const CROSS_ENTROPY_GRAD = 'ThimbleCategoricalCrossentropyGrad';
/** As tfjs-layers has it: probabilities are cut to EPSILON ... 1 - EPSILON. */
const EPSILON = 1e-7;
const [LOW, HIGH] = [Math.fround(EPSILON), Math.fround(1 - EPSILON)];

type Loss = (target: Tensor, output: Tensor) => Tensor;

function cut(p: number): number {
  return p < LOW ? LOW : p > HIGH ? HIGH : p;
}

function classesOf({ shape }: TensorInfo): number {
  return shape.at(-1) as number;
}

/** loss = -sum over classes of t ln(cut(q / sum(q))), row by row. */
const crossEntropy: KernelConfig = defineKernel<Tensors<'target' | 'output'>, object>(
  CROSS_ENTROPY,
  ({ inputs: { target, output }, backend }) => {
    const out = backend.makeOutput(output.shape.slice(0, -1), 'float32');
    const [t, q, losses] = [target, output, out].map((info) => floats(backend, info));
    const classes = classesOf(output);
    for (let row = 0, at = 0; row < losses!.length; row++, at += classes) {
      let sum = 0;
      for (let i = at; i < at + classes; i++) sum += q![i]!;
      let loss = 0;
      // A class that is not the label's adds nothing, but for a NaN.
      for (let i = at; i < at + classes; i++) {
        if (t![i] !== 0) loss -= t![i]! * Math.log(cut(q![i]! / sum));
      }
      losses![row] = Number.isNaN(sum) ? sum : loss;
    }
    return out;
  },
);

/** With p = q / sum(q) and g = -dy t / p where p was not cut: dq = (g - sum(g p)) / sum(q). */
const crossEntropyGrad: KernelConfig = defineKernel<Tensors<'target' | 'output' | 'dy'>, object>(
  CROSS_ENTROPY_GRAD,
  ({ inputs: { target, output, dy }, backend }) => {
    const out = backend.makeOutput(output.shape, 'float32');
    const [t, q, d, dq] = [target, output, dy, out].map((info) => floats(backend, info));
    const classes = classesOf(output);
    for (let row = 0, at = 0; row < d!.length; row++, at += classes) {
      let sum = 0;
      for (let i = at; i < at + classes; i++) sum += q![i]!;
      let along = 0;
      for (let i = at; i < at + classes; i++) {
        const p = q![i]! / sum;
        const slope = p < LOW || p > HIGH ? 0 : (-d![row]! * t![i]!) / p;
        dq![i] = slope;
        along += slope * p;
      }
      for (let i = at; i < at + classes; i++) dq![i] = (dq![i]! - along) / sum;
    }
    return out;
  },
);

/** The two kernels. */
export const crossEntropyKernels: readonly KernelConfig[] = [crossEntropy, crossEntropyGrad];

/** Registers the gradient of the loss; does nothing where that has been done. */
export function installCrossEntropy(): void {
  if (getGradient(CROSS_ENTROPY)) return;
  registerGradient({
    kernelName: CROSS_ENTROPY,
    inputsToSave: ['target', 'output'],
    gradFunc: (dy, [target, output]): GradientMap => ({
      output: () =>
        engine().runKernel(CROSS_ENTROPY_GRAD, {
          target: target!,
          output: output!,
          dy: dy as Tensor,
        }),
    }),
  });
}

/** The loss in one op where it can be, else `stock`: other backends, other types, gradients of gradients. */
export function fusedCrossEntropy(stock: Loss): Loss {
  return (target, output) => {
    const fits =
      getBackend() === BACKEND_NAME &&
      target.dtype === 'float32' &&
      output.dtype === 'float32' &&
      output.rank > 1 &&
      util.arraysEqual(target.shape, output.shape) &&
      engine().state.gradientDepth < 2;
    return fits ? engine().runKernel(CROSS_ENTROPY, { target, output }) : stock(target, output);
  };
}
