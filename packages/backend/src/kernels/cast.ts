import {
  Cast,
  type CastAttrs,
  type KernelConfig,
  Reverse,
  type ReverseAttrs,
} from '@tensorflow/tfjs-core';
import { castTo, free, runStock, type Tensors } from '../stock.ts';
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

/** x turned round along some axes. On bool stock writes four bytes per value, beyond the tensor. */
export const reverse: KernelConfig = overrideKernel<Tensors<'x'>, ReverseAttrs>(
  Reverse,
  ({ inputs: { x }, attrs, backend }) => {
    if (x.dtype !== 'bool') return undefined;
    const wide = castTo(backend, x, 'int32');
    const turned = runStock(backend, Reverse, { x: wide }, attrs);
    const out = castTo(backend, turned, 'bool');
    free(backend, wide, turned);
    return out;
  },
);
