// How our kernels are written and how they call the kernels of the stock wasm backend: straight from the
// kernel registry, on plain TensorInfos, so no engine bookkeeping is paid for intermediate results.
// Whoever makes an intermediate result here frees it here.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  Cast,
  type DataType,
  getKernel,
  type KernelConfig,
  type KernelFunc,
  type NamedAttrMap,
  type TensorInfo,
  util,
} from '@tensorflow/tfjs-core';
import { BackendError } from '@thimble/base';
import { BACKEND_NAME } from './name.ts';

/** Inputs by name. */
export type Tensors<Names extends string> = Record<Names, TensorInfo>;

/** What a kernel is called with. */
export interface Call<Inputs, Attrs> {
  inputs: Inputs;
  attrs: Attrs;
  backend: BackendWasm;
}

/** A kernel of the backend `thimble`, typed; tfjs's own type for it says nothing of inputs and attributes. */
export function defineKernel<Inputs, Attrs>(
  kernelName: string,
  run: (call: Call<Inputs, Attrs>) => TensorInfo | TensorInfo[],
): KernelConfig {
  return { kernelName, backendName: BACKEND_NAME, kernelFunc: run as unknown as KernelFunc };
}

/** Runs a kernel of the stock wasm backend. The caller frees the result. */
export function runStock(
  backend: BackendWasm,
  kernelName: string,
  inputs: Record<string, TensorInfo | undefined>,
  attrs: object = {},
): TensorInfo {
  const stock = getKernel(kernelName, 'wasm');
  if (!stock) {
    throw new BackendError(
      `The kernel ${kernelName} of @tensorflow/tfjs-backend-wasm is not registered. ` +
        "Import '@tensorflow/tfjs-backend-wasm' whole, not a custom bundle of single kernels.",
    );
  }
  return stock.kernelFunc({
    inputs: inputs as Record<string, TensorInfo>,
    attrs: attrs as NamedAttrMap,
    backend,
  }) as TensorInfo;
}

/** The values in another type, as a new tensor. The caller frees it. */
export function castTo(backend: BackendWasm, x: TensorInfo, dtype: DataType): TensorInfo {
  return runStock(backend, Cast, { x }, { dtype });
}

/** What `use` makes of the values in a type, which they are turned into where they are of another. */
export function converted(
  backend: BackendWasm,
  x: TensorInfo,
  dtype: DataType,
  use: (x: TensorInfo) => TensorInfo,
): TensorInfo {
  if (x.dtype === dtype) return use(x);
  const cast = castTo(backend, x, dtype);
  const out = use(cast);
  free(backend, cast);
  return out;
}

/** Frees intermediate results. */
export function free(backend: BackendWasm, ...infos: TensorInfo[]): void {
  for (const info of infos) backend.disposeData(info.dataId);
}

/** All axes but the last as one; a tensor without values has no rows. */
export function matrix({ shape }: TensorInfo): [rows: number, channels: number] {
  const channels = shape.at(-1) ?? 1;
  return [util.sizeFromShape(shape.slice(0, -1)), channels];
}

/** The same values under another shape, for the time of a call: shares the data, needs no freeing. */
export function reshaped(info: TensorInfo, shape: number[]): TensorInfo {
  return { dataId: info.dataId, shape, dtype: info.dtype };
}

/** A new float32 tensor filled with zeros. */
export function zeros(backend: BackendWasm, shape: number[]): TensorInfo {
  const out = backend.makeOutput(shape, 'float32');
  floats(backend, out).fill(0);
  return out;
}

/**
 * The values of a float32 tensor on the heap. Allocating another tensor may grow the heap, which detaches
 * every array over it: make all outputs first, then ask for the arrays.
 */
export function floats(backend: BackendWasm, info: TensorInfo): Float32Array {
  return backend.typedArrayFromHeap(info) as Float32Array;
}
