// What a fused kernel does after its product: bias, then activation.
import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm';
import { Add, Elu, LeakyRelu, Prelu, Sigmoid, type TensorInfo, util } from '@tensorflow/tfjs-core';
import { UnsupportedError } from '@thimble/base';
import { ACTIVATIONS } from '@thimble/kernels';
import { address, simd } from './simd.ts';
import { free, runStock } from './stock.ts';

/** The inputs and attributes of a fused kernel that concern its end. */
export interface Epilogue {
  bias?: TensorInfo | undefined;
  preluActivationWeights?: TensorInfo | undefined;
  activation: string;
  leakyreluAlpha?: number | undefined;
}

const COMPOSED: Record<string, string> = {
  elu: Elu,
  sigmoid: Sigmoid,
  prelu: Prelu,
  leakyrelu: LeakyRelu,
};

/**
 * activation(x + bias). x is taken over: the result is x itself, changed in place, or a new tensor, and x
 * freed. A bias along the last axis and linear, relu and relu6 take one pass.
 *
 * @throws UnsupportedError for an activation that tfjs does not know.
 */
export function finish(backend: BackendWasm, x: TensorInfo, end: Epilogue): TensorInfo {
  const { bias, activation } = end;
  const inPlace = ACTIVATIONS[activation as keyof typeof ACTIVATIONS] as number | undefined;
  const columns = x.shape.at(-1) ?? 1;
  const along =
    !bias || (bias.shape.at(-1) === columns && util.sizeFromShape(bias.shape) === columns);
  let out = x;
  if (bias && !along) out = replace(backend, out, Add, { a: out, b: bias });
  const size = util.sizeFromShape(x.shape);
  if (size > 0 && ((bias && along) || inPlace)) {
    const pointer = bias && along ? address(backend, bias) : 0;
    const rows = size / columns;
    simd().biasActivation(address(backend, out), rows, columns, pointer, inPlace ?? 0);
  }
  if (inPlace !== undefined) return out;
  const kernelName = COMPOSED[activation];
  if (!kernelName) {
    const known = [...Object.keys(ACTIVATIONS), ...Object.keys(COMPOSED)].join(', ');
    throw new UnsupportedError(`Unknown fused activation "${activation}". Known: ${known}.`);
  }
  const alpha = kernelName === Prelu ? { alpha: end.preluActivationWeights } : {};
  return replace(backend, out, kernelName, { x: out, ...alpha }, { alpha: end.leakyreluAlpha });
}

function replace(
  backend: BackendWasm,
  old: TensorInfo,
  kernelName: string,
  inputs: Record<string, TensorInfo | undefined>,
  attrs: object = {},
): TensorInfo {
  const out = runStock(backend, kernelName, inputs, attrs);
  free(backend, old);
  return out;
}
