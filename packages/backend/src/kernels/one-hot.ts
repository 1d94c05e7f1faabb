import { type KernelConfig, OneHot, type OneHotAttrs } from '@tensorflow/tfjs-core';
import type { Tensors } from '../stock.ts';
import { overrideKernel } from './override.ts';

/** out[i, k] = onValue where indices[i] = k, else offValue. Stock writes int32 bits whatever the type. */
export const oneHot: KernelConfig = overrideKernel<Tensors<'indices'>, OneHotAttrs>(
  OneHot,
  ({ inputs: { indices }, attrs: { depth, onValue, offValue, dtype = 'int32' }, backend }) => {
    if (dtype === 'int32') return undefined;
    const out = backend.makeOutput([...indices.shape, depth], dtype);
    const rows = backend.typedArrayFromHeap(indices);
    const values = backend.typedArrayFromHeap(out).fill(offValue);
    for (let i = 0; i < rows.length; i++) {
      const index = rows[i] as number;
      if (index >= 0 && index < depth) values[i * depth + index] = onValue;
    }
    return out;
  },
);
