// Rounding to codes and its gradient; ops of @thimble/quantization call them by name.
import { type KernelConfig, type TensorInfo, util } from '@tensorflow/tfjs-core';
import { address, simd } from '../simd.ts';
import { defineKernel, type Tensors } from '../stock.ts';

type Names = 'x' | 'scale' | 'low' | 'high';
/** Values per channel that lie side by side. */
type Attrs = { inner: number };

/** Rows, channels, values side by side, and whether channels have bounds of their own. */
function layout(
  x: TensorInfo,
  { scale, low }: Tensors<Names>,
  { inner }: Attrs,
): [number, number, number, boolean] {
  const channels = util.sizeFromShape(scale.shape);
  const size = util.sizeFromShape(x.shape);
  const own = util.sizeFromShape(low.shape) > 1;
  // One scale for all: one long run.
  return channels === 1 ? [1, 1, size, false] : [size / (channels * inner), channels, inner, own];
}

/** `ThimbleCodes`: round(x / scale) cut to low ... high; `ThimbleCodesGrad`: dy / scale inside, else 0. */
export const codesKernels: readonly KernelConfig[] = [
  defineKernel<Tensors<Names>, Attrs>('ThimbleCodes', ({ inputs, attrs, backend }) => {
    const { x, scale, low, high } = inputs;
    const out = backend.makeOutput(x.shape, 'float32');
    const at = [x, scale, low, high, out].map((info) => address(backend, info));
    simd().codes(...(at as [number, number, number, number, number]), ...layout(x, inputs, attrs));
    return out;
  }),
  defineKernel<Tensors<Names | 'dy'>, Attrs>('ThimbleCodesGrad', ({ inputs, attrs, backend }) => {
    const { dy, x, scale, low, high } = inputs;
    const out = backend.makeOutput(x.shape, 'float32');
    const at = [dy, x, scale, low, high, out].map((info) => address(backend, info));
    type Six = [number, number, number, number, number, number];
    simd().codesGradient(...(at as Six), ...layout(x, inputs, attrs));
    return out;
  }),
];
