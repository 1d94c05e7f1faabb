import { Identity, type KernelConfig } from '@tensorflow/tfjs-core';
import { defineKernel, type Tensors } from '../stock.ts';

/** The same values, shared; stock copies them, some thirty times in a training step. */
export const identity: KernelConfig = defineKernel<Tensors<'x'>, object>(
  Identity,
  ({ inputs: { x }, backend }) => {
    backend.incRef(x.dataId);
    return { dataId: x.dataId, shape: x.shape, dtype: x.dtype };
  },
);
