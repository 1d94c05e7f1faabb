// Kernels of which stock leaves some types or shapes unserved.
import {
  ArgMax,
  type ArgMaxAttrs,
  ArgMin,
  type KernelConfig,
  type TensorInfo,
  TopK,
  type TopKAttrs,
  util,
} from '@tensorflow/tfjs-core';
import { castTo, defineKernel, free, runStock, type Tensors } from '../stock.ts';
import { overrideKernel } from './override.ts';

/** Where the largest, or the smallest, values along an axis are. Stock traps where there are none to find. */
const argExtremes: readonly KernelConfig[] = [ArgMax, ArgMin].map((name) =>
  overrideKernel<Tensors<'x'>, ArgMaxAttrs>(name, ({ inputs: { x }, attrs, backend }) => {
    const [axis] = util.parseAxisParam(attrs.axis, x.shape);
    const shape = x.shape.filter((_, i) => i !== axis);
    return util.sizeFromShape(shape) === 0 ? backend.makeOutput(shape, 'int32') : undefined;
  }),
);

/** The k largest values and where they are. Stock leaves both unset for bool. */
const topK: KernelConfig = defineKernel<Tensors<'x'>, TopKAttrs>(
  TopK,
  ({ inputs: { x }, attrs, backend }) => {
    const run = (values: TensorInfo) =>
      runStock(backend, TopK, { x: values }, attrs) as unknown as [TensorInfo, TensorInfo];
    if (x.dtype !== 'bool') return run(x);
    const whole = castTo(backend, x, 'int32');
    const [found, indices] = run(whole);
    const values = castTo(backend, found, 'bool');
    free(backend, whole, found);
    return [values, indices];
  },
);

export const typeKernels: readonly KernelConfig[] = [...argExtremes, topK];
