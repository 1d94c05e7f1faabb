// Binary weights with a scale for each output, their gradient, and the rule for the stored weights, a kernel each
// instead of five, eleven and three; ops of @thimble/quantization call them by name.
import { type KernelConfig, util } from '@tensorflow/tfjs-core';
import { address, simd } from '../simd.ts';
import { defineKernel, matrix, type Tensors } from '../stock.ts';

/**
 * `ThimbleBinaryWeights`: a sign(w), and a = mean |w| for each entry of the last axis. `ThimbleBinaryWeightsGrad`: its
 * exact gradient. `ThimbleCentreClip`: w less its mean over `axis`, cut to -1 ... 1.
 */
export const binaryWeightsKernels: readonly KernelConfig[] = [
  defineKernel<Tensors<'w'>, object>('ThimbleBinaryWeights', ({ inputs: { w }, backend }) => {
    const [rows, columns] = matrix(w);
    const out = backend.makeOutput(w.shape, 'float32');
    const scale = backend.makeOutput([columns], 'float32');
    const [from, to, factors] = [w, out, scale].map((info) => address(backend, info));
    simd().binaryWeights(from!, to!, factors!, rows, columns);
    return [out, scale];
  }),
  defineKernel<Tensors<'dy' | 'w' | 'scale'>, object>(
    'ThimbleBinaryWeightsGrad',
    ({ inputs: { dy, w, scale }, backend }) => {
      const out = backend.makeOutput(w.shape, 'float32');
      const at = [dy, w, scale, out].map((info) => address(backend, info));
      simd().binaryWeightsGradient(...(at as [number, number, number, number]), ...matrix(w));
      return out;
    },
  ),
  defineKernel<Tensors<'w'>, { axis: number }>(
    'ThimbleCentreClip',
    ({ inputs: { w }, attrs: { axis }, backend }) => {
      const out = backend.makeOutput(w.shape, 'float32');
      const sizes = [
        w.shape.slice(0, axis),
        w.shape.slice(axis, axis + 1),
        w.shape.slice(axis + 1),
      ];
      const [outer, middle, inner] = sizes.map((shape) => util.sizeFromShape(shape));
      simd().centreClip(address(backend, w), address(backend, out), outer!, middle!, inner!);
      return out;
    },
  ),
];
