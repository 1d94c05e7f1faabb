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

/** What a kernel of ours takes: the bias's address, 0 for none, and the activation's number. */
export type InKernel = [bias: number, activation: number];

/** Bias and activation for a kernel with `columns` output channels; nothing where it cannot do them. */
export function inKernel(
  backend: BackendWasm,
  { bias, activation }: Epilogue,
  columns: number,
): InKernel | undefined {
  const number = ACTIVATIONS[activation as keyof typeof ACTIVATIONS] as number | undefined;
  const along =
    !bias || (bias.shape.at(-1) === columns && util.sizeFromShape(bias.shape) === columns);
  if (number === undefined || !along) return undefined;
  return [bias ? address(backend, bias) : 0, number];
}

/**
 * activation(x + bias). x is taken over: the result is x itself, changed in place, or a new tensor, and x
 * freed. A bias along the last axis and linear, relu and relu6 take one pass.
 *
 * @throws UnsupportedError for an activation that tfjs does not know.
 */
export function finish(backend: BackendWasm, x: TensorInfo, end: Epilogue): TensorInfo {
  const columns = x.shape.at(-1) ?? 1;
  const size = util.sizeFromShape(x.shape);
  const simple = inKernel(backend, end, columns);
  if (simple) {
    const [bias, activation] = simple;
    const needed = size > 0 && (bias !== 0 || activation !== 0);
    if (needed) {
      simd().biasActivation(address(backend, x), size / columns, columns, bias, activation);
    }
    return x;
  }
  let out = x;
  if (end.bias) out = replace(backend, out, Add, { a: out, b: end.bias });
  if (end.activation in ACTIVATIONS) return finish(backend, out, { activation: end.activation });
  const kernelName = COMPOSED[end.activation];
  if (!kernelName) {
    const known = [...Object.keys(ACTIVATIONS), ...Object.keys(COMPOSED)].join(', ');
    throw new UnsupportedError(`Unknown fused activation "${end.activation}". Known: ${known}.`);
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
