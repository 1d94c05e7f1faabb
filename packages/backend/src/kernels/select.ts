import { type KernelConfig, Select, util } from '@tensorflow/tfjs-core';
import type { Tensors } from '../stock.ts';
import { overrideKernel } from './override.ts';

/**
 * y = t where the condition holds, else e. A condition of rank 1 chooses whole rows. On bool stock copies
 * four bytes for one.
 */
export const select: KernelConfig = overrideKernel<Tensors<'condition' | 't' | 'e'>, object>(
  Select,
  ({ inputs: { condition, t, e }, backend }) => {
    if (t.dtype !== 'bool') return undefined;
    const out = backend.makeOutput(t.shape, 'bool');
    const [flags, yes, no, to] = [condition, t, e, out].map((x) =>
      backend.typedArrayFromHeap(x),
    ) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
    const per = to.length / Math.max(1, util.sizeFromShape(condition.shape));
    for (let i = 0; i < to.length; i++) {
      to[i] = (flags[Math.floor(i / per)] ? yes[i] : no[i]) as number;
    }
    return out;
  },
);
