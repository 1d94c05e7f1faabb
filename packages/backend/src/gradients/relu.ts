// The gradient of ReLU in one kernel; stock takes three, with two tensors in between.
import { engine, type KernelConfig, Relu, type Tensor } from '@tensorflow/tfjs-core';
import { address, simd } from '../simd.ts';
import { defineKernel, type Tensors } from '../stock.ts';
import { defineGradient, type Gradient } from './override.ts';

const RELU_GRAD = 'ThimbleReluGrad';

/** dx = dy where x > 0, else 0; at 0 the gradient is 0. */
export const reluGradKernel: KernelConfig = defineKernel<Tensors<'x' | 'dy'>, object>(
  RELU_GRAD,
  ({ inputs: { x, dy }, backend }) => {
    const dx = backend.makeOutput(x.shape, 'float32');
    const [from, gradient, to] = [x, dy, dx].map((info) => address(backend, info));
    simd().reluGradient(from!, gradient!, to!, (x as Tensor).size);
    return dx;
  },
);

/** Of y = max(x, 0). */
export const reluGradient: Gradient = defineGradient<object>(Relu, (dy, [x]) => ({
  x: () => engine().runKernel(RELU_GRAD, { x: x!, dy }) as Tensor,
}));
