import {
  getKernel,
  type KernelConfig,
  type KernelFunc,
  type TensorInfo,
} from '@tensorflow/tfjs-core';
import { BACKEND_NAME } from '../name.ts';
import { type Call, runStock } from '../stock.ts';

/**
 * A kernel that serves some types of input itself; where `ours` answers undefined, stock does the work,
 * with as little ado as possible: small kernels run by the hundred in a training step.
 */
export function overrideKernel<Inputs, Attrs>(
  kernelName: string,
  ours: (call: Call<Inputs, Attrs>) => TensorInfo | undefined,
): KernelConfig {
  let stock: KernelFunc | undefined;
  const kernelFunc = (call: Call<Inputs, Attrs>): TensorInfo => {
    const out = ours(call);
    if (out) return out;
    stock ??= getKernel(kernelName, 'wasm')?.kernelFunc;
    const { inputs, attrs, backend } = call;
    if (stock) return stock(call as unknown as Parameters<KernelFunc>[0]) as TensorInfo;
    return runStock(backend, kernelName, inputs as Record<string, TensorInfo>, attrs as object);
  };
  return { kernelName, backendName: BACKEND_NAME, kernelFunc: kernelFunc as unknown as KernelFunc };
}
