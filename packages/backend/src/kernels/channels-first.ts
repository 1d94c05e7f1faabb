// Images as [batch, channels, height, width]: the kernels are written for channels last, so images are turned
// there and back. Stock throws.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import {
  type backend_util,
  type KernelConfig,
  type KernelFunc,
  type NamedAttrMap,
  type TensorInfo,
  Transpose,
} from '@tensorflow/tfjs-core';
import { free, runStock } from '../stock.ts';

interface Attrs {
  dataFormat?: 'NHWC' | 'NCHW';
  pad?: unknown;
  inputShape?: number[];
}

const TO_LAST = [0, 2, 3, 1];
const TO_FIRST = [0, 3, 1, 2];
const turned = <T>(list: readonly T[]): T[] => TO_LAST.map((axis) => list[axis] as T);

/**
 * `kernel` for images of either layout. `images` names the inputs that are images; `gives` says whether its
 * result is one too.
 */
export function eitherLayout(
  kernel: KernelConfig,
  images: readonly string[],
  gives: boolean,
): KernelConfig {
  const kernelFunc: KernelFunc = (call) => {
    const attrs = call.attrs as unknown as Attrs;
    if (attrs.dataFormat !== 'NCHW') return kernel.kernelFunc(call);
    const backend = call.backend as BackendWasm;
    const inputs = { ...call.inputs } as Record<string, TensorInfo>;
    for (const name of images) {
      inputs[name] = runStock(backend, Transpose, { x: inputs[name] }, { perm: TO_LAST });
    }
    const { pad, inputShape } = attrs;
    const last = {
      ...attrs,
      dataFormat: 'NHWC',
      pad: Array.isArray(pad) ? turned(pad as backend_util.ExplicitPadding[]) : pad,
      ...(inputShape ? { inputShape: turned(inputShape) } : {}),
    } as unknown as NamedAttrMap;
    const out = kernel.kernelFunc({ inputs, backend, attrs: last }) as TensorInfo;
    free(backend, ...images.map((name) => inputs[name] as TensorInfo));
    if (!gives) return out;
    const back = runStock(backend, Transpose, { x: out }, { perm: TO_FIRST });
    free(backend, out);
    return back;
  };
  return { ...kernel, kernelFunc };
}
