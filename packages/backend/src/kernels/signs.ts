// Signs and random signs, for binary weights and activations; ops of @thimble/quantization call them by name.
import type { KernelConfig } from '@tensorflow/tfjs-core';
import { simd } from '../simd.ts';
import { defineKernel, type Tensors } from '../stock.ts';
import { each } from './elementwise.ts';

/** +1 or -1 for every entry of a float32 tensor: by its sign, that of 0 being +1, or drawn with its value. */
export const signKernels: readonly KernelConfig[] = [
  defineKernel<Tensors<'x'>, object>('ThimbleBinarySign', ({ inputs: { x }, backend }) =>
    each(backend, x, (from, to, size) => simd().binarySign(from, to, size)),
  ),
  defineKernel<Tensors<'x'>, Record<'first' | 'second', number>>(
    'ThimbleBinarySample',
    ({ inputs: { x }, attrs: { first, second }, backend }) =>
      each(backend, x, (from, to, size) => simd().binarySample(from, to, size, first, second)),
  ),
];
