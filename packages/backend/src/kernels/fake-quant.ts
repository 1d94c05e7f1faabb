// Fake quantisation of a weight over its own range, and its gradient; ops of @thimble/quantization call them.
import { type KernelConfig, type TensorInfo, util } from '@tensorflow/tfjs-core';
import { address, simd } from '../simd.ts';
import { defineKernel, type Tensors } from '../stock.ts';

/** How the weight is laid out: one range for each of `channels`, of which `inner` values lie side by side. */
type Layout = { channels: number; inner: number };
/** Lowest and highest code; with `symmetric` the zero point is `middle`. */
type Codes = { lowest: number; highest: number; middle: number; symmetric: boolean };

function layoutOf({ shape }: TensorInfo, { channels, inner }: Layout): [number, number, number] {
  return [util.sizeFromShape(shape) / (channels * inner), channels, inner];
}

/**
 * `ThimbleFakeQuant`: the values on the grid, and the grid [3, channels]: scales, lowest and highest codes
 * without the zero point. `ThimbleFakeQuantGrad`: dy between the ends of the grid, else 0.
 */
export const fakeQuantKernels: readonly KernelConfig[] = [
  defineKernel<Tensors<'x'>, Layout & Codes>('ThimbleFakeQuant', ({ inputs, attrs, backend }) => {
    const { x } = inputs;
    const { lowest, highest, middle, symmetric } = attrs;
    const out = backend.makeOutput(x.shape, 'float32');
    const grid = backend.makeOutput([3, attrs.channels], 'float32');
    const at = [x, grid, out].map((info) => address(backend, info)) as [number, number, number];
    simd().fakeQuant(...at, ...layoutOf(x, attrs), lowest, highest, middle, symmetric);
    return [out, grid];
  }),
  defineKernel<Tensors<'dy' | 'x' | 'grid'>, Layout>(
    'ThimbleFakeQuantGrad',
    ({ inputs: { dy, x, grid }, attrs, backend }) => {
      const out = backend.makeOutput(x.shape, 'float32');
      const at = [dy, x, grid, out].map((info) => address(backend, info));
      simd().fakeQuantGradient(...(at as [number, number, number, number]), ...layoutOf(x, attrs));
      return out;
    },
  ),
];
