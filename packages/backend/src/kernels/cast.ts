import { Cast, type CastAttrs, type KernelConfig } from '@tensorflow/tfjs-core';
import type { Tensors } from '../stock.ts';
import { overrideKernel } from './override.ts';

/** The same values in another type; for bool x != 0, where stock keeps the last eight bits. */
export const cast: KernelConfig = overrideKernel<Tensors<'x'>, CastAttrs>(
  Cast,
  ({ inputs: { x }, attrs, backend }) => {
    if (attrs.dtype !== 'bool') return undefined;
    const out = backend.makeOutput(x.shape, 'bool');
    const from = backend.typedArrayFromHeap(x);
    const to = backend.typedArrayFromHeap(out);
    for (let i = 0; i < from.length; i++) to[i] = from[i] === 0 ? 0 : 1;
    return out;
  },
);
