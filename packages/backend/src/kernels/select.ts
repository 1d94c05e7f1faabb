import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  type KernelConfig,
  Select,
  type TensorInfo,
  upcastType,
  util,
} from '@tensorflow/tfjs-core';
import type { Pointer } from '@thimble/kernels';
import { address, simd } from '../simd.ts';
import { castTo, free, runStock, type Tensors } from '../stock.ts';
import { overrideKernel } from './override.ts';

type Operands = Tensors<'condition' | 't' | 'e'>;

/**
 * y = t where the condition holds, else e, in the type that holds both. A condition of rank 1 chooses whole
 * rows. Stock takes the bits of e for the type of t, and on bool copies four bytes for one.
 */
export const select: KernelConfig = overrideKernel<Operands, object>(
  Select,
  ({ inputs: { condition, t, e }, backend }) => {
    if (t.dtype === e.dtype) {
      if (t.dtype === 'bool') return selectBool(backend, { condition, t, e });
      // Stock chooses value by value.
      const alike = util.arraysEqual(condition.shape, t.shape);
      return alike ? selectAlike(backend, { condition, t, e }) : undefined;
    }
    const [yes, no] = [t, e].map((x) => castTo(backend, x, upcastType(t.dtype, e.dtype)));
    const out = runStock(backend, Select, { condition, t: yes, e: no });
    free(backend, yes as TensorInfo, no as TensorInfo);
    return out;
  },
);

/** All of one shape; t and e in values of four bytes. */
function selectAlike(backend: BackendWasm, { condition, t, e }: Operands): TensorInfo {
  const out = backend.makeOutput(t.shape, t.dtype);
  const [flags, yes, no, to] = [condition, t, e, out].map((x) => address(backend, x)) as [
    Pointer,
    Pointer,
    Pointer,
    Pointer,
  ];
  simd().select(flags, yes, no, to, util.sizeFromShape(t.shape));
  return out;
}

function selectBool(backend: BackendWasm, { condition, t, e }: Operands): TensorInfo {
  const out = backend.makeOutput(t.shape, 'bool');
  const [flags, yes, no, to] = [condition, t, e, out].map((x) => backend.typedArrayFromHeap(x)) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ];
  const per = to.length / Math.max(1, util.sizeFromShape(condition.shape));
  for (let i = 0; i < to.length; i++) {
    to[i] = (flags[Math.floor(i / per)] ? yes[i] : no[i]) as number;
  }
  return out;
}
